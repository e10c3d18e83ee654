// A board as a talk: which screen is shown, the keys, the overview, the live page over the screen. The screens before and
// behind the one that is shown are drawn beforehand, unseen, so that going on is to show what already stands.
(function () {
  const { byId, element, isOwn, local, on, register } = window.dash_clientside.attune_kit;
  const T = window.dash_clientside.attune_talk;
  const host = byId("talk");
  if (!host) return;
  const query = new URLSearchParams(window.location.search);
  const board = query.get("board") || "inbox", isSpeaker = query.get("speaker") === "1";
  /** How far ahead screens are drawn, and how far away they are taken down again. */
  const AHEAD = 2, FAR = 4;
  const AGAIN = 10000; // ms
  const KEYS = [
    ["→, PageDown, Space", "the next screen"], ["←, PageUp", "the screen before"], ["Home, End", "the first, the last"],
    ["↓, ↑", "further rows of a figure with many names"], ["c", "the whole control of this view"],
    ["o", "overview of all screens"], ["l", "play: the live page of this view; Esc comes back"], ["s", "window of the speaker: notes and next screen"],
    ["f", "full screen"], ["d", "dark or light"], ["b", "black screen"], ["?", "these keys"], ["Esc", "back to the board"],
  ];
  const theme = () => document.documentElement.getAttribute("data-bs-theme") || "light";
  const library = host.dataset.plotly;
  const channel = new BroadcastChannel("attune-talk-" + board);
  let screens = [], at = 0, black = false, view = null;
  const frames = new Map();

  // ---- screens ----
  function prepare(n) {
    if (n < 0 || n >= screens.length || frames.has(n)) return frames.get(n);
    const frame = T.frameOf(screens[n]);
    frame.dataset.screen = n;
    byId("talk-stage").append(frame);
    const drawn = T.fill(frame, screens[n], theme(), library).then(() => { frame.dataset.drawn = "yes"; });
    frames.set(n, { frame, drawn });
    return frames.get(n);
  }
  /** When the browser has nothing better to do: to draw takes its time, and a key is not to wait for it. */
  const idle = () => new Promise((resolve) => { window.requestIdleCallback(resolve, { timeout: 1000 }); });
  async function around(n) {
    for (const [m, { frame }] of Array.from(frames)) {
      if (Math.abs(m - n) <= FAR) continue;
      T.empty(frame);
      frame.remove();
      frames.delete(m);
    }
    if (n !== at) return;
    await prepare(n).drawn;
    for (let by = 1; by <= AHEAD; by += 1) {
      for (const near of [n + by, n - by]) {
        await idle();
        if (n !== at) return; // the talk has gone on: what is near now comes first
        await (prepare(near) || {}).drawn;
      }
    }
  }
  /** Show a screen. `said`: another window has said so, and need not be told. */
  function show(n, said = false) {
    const began = performance.now();
    delete host.dataset.tookMs;
    at = Math.max(0, Math.min(screens.length - 1, n));
    if (!said) tell();
    if (isSpeaker) { view.show(at, black); return; }
    close();
    const { frame } = prepare(at);
    frames.forEach(({ frame: other }) => { other.classList.toggle("talk-shown", other === frame); other.inert = other !== frame; });
    byId("talk-place").textContent = at + 1 + " / " + screens.length;
    byId("talk-play").hidden = !isOwn(addressOf());
    frame.querySelector("h1").focus({ preventScroll: true });
    host.dataset.at = String(at);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      host.dataset.tookMs = String(Math.round(performance.now() - began));
      around(at);
    }));
    query.set("board", board);
    query.set("at", String(at));
    window.history.replaceState(null, "", window.location.pathname + "?" + query);
  }
  const tell = (more = {}) => channel.postMessage({ at, black, theme: theme(), ...more });
  function blacken(on_) {
    black = on_;
    document.body.classList.toggle("talk-black", black && !isSpeaker);
    if (isSpeaker) view.show(at, black);
  }
  function paint(next) {
    document.documentElement.setAttribute("data-bs-theme", next);
    try { localStorage.setItem("attune-theme", next); } catch { /* private window */ }
  }
  channel.onmessage = ({ data }) => {
    if (!screens.length) return;
    if (data.hello) { tell(); return; }
    if (data.theme && data.theme !== theme()) paint(data.theme);
    if (data.black !== black) blacken(data.black);
    if (data.at !== at) show(data.at, true);
    if (data.turn && !isSpeaker) turn(data.turn);
  };

  // ---- what lies over a screen: overview, keys, the live page ----
  let over = null;
  function close() {
    if (!over) return false;
    over.remove();
    over = null;
    byId("talk-stage").inert = false;
    const { frame } = frames.get(at) || {};
    if (frame) frame.querySelector("h1").focus({ preventScroll: true });
    return true;
  }
  function lay(name, label, ...children) {
    const again = over && over.dataset.over === name;
    close();
    if (again) return null;
    over = element("div", { class: "talk-over talk-over-" + name, "data-over": name, role: "dialog", "aria-modal": "true", "aria-label": label, tabindex: -1 }, children);
    byId("talk-stage").inert = true;
    document.body.append(over);
    over.focus();
    return over;
  }
  function overview() {
    const cards = screens.map((screen, n) => element("button", { type: "button", class: "talk-card talk-card-" + screen.kind, "data-go": n,
      "aria-current": n === at ? "true" : null }, element("span", { class: "talk-number" }, n + 1), screen.titleHtml
      ? T.html("span", {}, screen.titleHtml) : element("span", {}, screen.title)));
    const made = lay("overview", "All screens", element("div", { class: "talk-grid" }, cards));
    if (made) cards[at].focus();
  }
  const keys = () => lay("keys", "Keys", element("div", { class: "talk-keys" }, element("h2", {}, "Keys"), element("dl", {},
    KEYS.map(([key, does]) => element("div", {}, element("dt", {}, key), element("dd", {}, does))))));
  async function control() {
    const screen = screens[at], parts = await T.controlsOf(screen, theme()).catch(() => []);
    if (parts.length && screen === screens[at]) lay("control", "Control", element("div", { class: "talk-control" }, parts));
  }
  /** Further rows of the figures that are shown; in the window of the speaker, of those of the talk. */
  function turn(by) {
    if (isSpeaker) { tell({ turn: by }); return; }
    const { frame } = frames.get(at) || {};
    if (frame) window.dash_clientside.attune_far.turn(frame, by);
  }
  /** Where the view that is shown lives in the app; of a screen with several, the one that has the focus, or the first. */
  function addressOf() {
    const screen = screens[at], held = document.activeElement && document.activeElement.closest("[data-pin-shown]");
    const pin = screen.pins.find((p) => held && p.id === held.dataset.pinShown) || screen.pins[0];
    return pin ? pin.address : screen.address;
  }
  function play() {
    const address = addressOf();
    if (!isOwn(address)) return;
    const live = element("iframe", { src: local(address), title: "Live: " + screens[at].title });
    const made = lay("live", "The live page", element("div", { class: "talk-live-bar" }, element("strong", {}, "Live"),
      element("span", {}, "Play with it; what was pinned stays as it is."),
      element("button", { type: "button", class: "attune-button", "data-do": "close" }, "Back to the talk (Esc)")), live);
    if (!made) return;
    live.addEventListener("load", () => {
      live.contentWindow.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        event.preventDefault();
        close();
      }, true);
      live.contentWindow.focus();
    });
  }
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {});
  const leave = () => window.location.assign(local("/findings?board=" + encodeURIComponent(board) + (screens[at].item ? "&item=" + screens[at].item : "")));
  function openSpeaker() {
    const search = new URLSearchParams({ board, at: String(at), speaker: "1" });
    window.open(window.location.pathname + "?" + search, "attune-speaker-" + board, "width=1100,height=720");
  }

  // ---- keys and buttons ----
  const DO = {
    next: () => show(at + 1), back: () => show(at - 1), first: () => show(0), last: () => show(screens.length - 1),
    more: () => turn(1), less: () => turn(-1), control, overview, keys, play, full, close, speaker: openSpeaker,
    theme: () => { paint(theme() === "dark" ? "light" : "dark"); tell(); },
    black: () => { blacken(!black); tell(); },
    escape: () => { if (black) DO.black(); else if (!close()) leave(); },
  };
  const KEY = { ArrowRight: "next", PageDown: "next", " ": "next", ArrowLeft: "back", PageUp: "back", Home: "first", End: "last", ArrowDown: "more", ArrowUp: "less", c: "control", o: "overview",
    l: "play", s: "speaker", f: "full", d: "theme", b: "black", ".": "black", "?": "keys", Escape: "escape" };
  const OF_SPEAKER = ["next", "back", "first", "last", "more", "less", "theme", "black"];
  const MOVES = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 4, ArrowUp: -4 };
  document.addEventListener("keydown", (event) => {
    if (!screens.length || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const overviewed = over && over.dataset.over === "overview" && MOVES[event.key];
    if (overviewed) {
      const cards = Array.from(over.querySelectorAll("[data-go]"));
      cards[Math.max(0, Math.min(cards.length - 1, cards.indexOf(document.activeElement) + overviewed))].focus();
      event.preventDefault();
      return;
    }
    const pressed = event.target.closest && event.target.closest("button, summary, a, input, select, [role=region]");
    if (pressed && (event.key === " " || (pressed.matches("[role=region], .attune-exhibit-sort") && event.key.startsWith("Arrow")))) return;
    const name = KEY[event.key];
    if (!name || (isSpeaker && !OF_SPEAKER.includes(name))) return;
    event.preventDefault();
    DO[name]();
  });
  on("click", "[data-do]", (button) => DO[button.dataset.do]());
  on("click", "[data-go]", (card) => show(Number(card.dataset.go)));

  // ---- beginning ----
  function furnish() {
    const tool = (name, words, label) => element("button", { type: "button", class: "talk-tool", "data-do": name, id: "talk-" + name, title: label, "aria-label": label }, words);
    host.append(element("div", { id: "talk-stage" }), element("nav", { class: "talk-tools", "aria-label": "Talk" },
      tool("back", "‹", "The screen before (←)"), element("span", { id: "talk-place" }), tool("next", "›", "The next screen (→)"),
      tool("play", "Play", "Play with the live page of this view (l)"), tool("overview", "Overview", "Overview (o)"), tool("speaker", "Speaker", "Window of the speaker (s)"),
      tool("full", "Full screen", "Full screen (f)"), tool("theme", "◐", "Dark or light (d)"), tool("keys", "?", "Keys (?)")));
  }
  /** The number of a screen, or the first of an item, as the address names it. */
  function placeOf(name) {
    if (/^\d{1,4}$/.test(name || "")) return Number(name);
    const found = screens.findIndex((screen) => name && screen.item === name);
    return Math.max(0, found);
  }
  async function start() {
    screens = T.screensOf(await T.boardOf(board));
    host.replaceChildren();
    document.title = screens[0].title + " · Attune";
    if (isSpeaker) {
      view = T.speaker(host, { screens, theme, library });
      at = placeOf(query.get("at"));
      view.show(at, black);
      channel.postMessage({ hello: true });
    } else {
      furnish();
      show(placeOf(query.get("at")));
    }
    host.dataset.ready = "yes";
    mark();
  }
  /** Draw the screens again whose views have changed since; while the model is starting, nobody knows of it yet. */
  async function mark() {
    try {
      const changes = await T.changesOf(board);
      frames.forEach(({ frame }, n) => { if (screens[n].pins.some((pin) => changes[pin.id])) T.fill(frame, screens[n], theme(), library); });
    } catch { setTimeout(mark, AGAIN); }
  }
  start().catch((error) => {
    host.replaceChildren(element("div", { class: "talk-failed" }, element("h1", {}, "This talk cannot be shown"),
      element("p", {}, error.message), element("p", {}, element("a", { href: local("/findings") }, "All boards"))));
  });
  register("attune_talk", { show });
})();
