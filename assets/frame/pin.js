// Pin: what a card shows goes to a board of findings, by its button or by the key p. Sent is the ViewRef that the card
// holds (components/kit/card.py), and the window of its figure: zoom and camera. The picture follows when nobody waits.
(function () {
  const { bare, element, isShortcut, local, on, read, register } = window.dash_clientside.attune_kit;
  const SHOWN = 8000; // ms that a message stays
  const LAST = "attune-last-board"; // in the storage of the browser: the board that was used last

  const storage = (act) => { try { return act(localStorage); } catch { return null; } };
  /** The board that pins go to: the one that was pinned to, or opened, last. */
  const lastBoard = () => storage((s) => s.getItem(LAST)) || "";
  const useBoard = (id) => storage((s) => s.setItem(LAST, id));

  // Who pins: one window of one browser, whose changes its undo takes back.
  function ownName() {
    const made = window.crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
    try {
      const kept = sessionStorage.getItem("attune-author") || made;
      sessionStorage.setItem("attune-author", kept);
      return kept;
    } catch {
      return made; // no storage: undo reaches back to the opening of this page
    }
  }
  const author = ownName();

  async function post(path, body) {
    const response = await fetch(local("/findings/api" + path), { method: "POST",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, author }) });
    if (!response.ok) throw new Error("The server answered " + response.status + ".");
    const answer = await response.json();
    if (answer.refused) throw new Error(answer.refused);
    return answer;
  }

  // ---- what is said ----
  // The place is there from the beginning, so that a screen reader hears of what is put into it.
  const place = element("div", { class: "attune-pin-place", role: "status" });
  document.body.append(place);
  let going = null;
  const stay = () => clearTimeout(going);
  const leave = () => { stay(); going = setTimeout(() => place.replaceChildren(), SHOWN); };
  ["mouseenter", "focusin"].forEach((kind) => place.addEventListener(kind, stay));
  ["mouseleave", "focusout"].forEach((kind) => place.addEventListener(kind, leave));
  function say(...content) {
    const close = element("button", { class: "btn-close", type: "button", "aria-label": "Close" });
    close.addEventListener("click", () => place.replaceChildren());
    place.replaceChildren(element("div", { class: "attune-pin-message" }, element("p", {}, content), close));
    leave();
  }
  function sayWhere({ item, version, board, title }) {
    const back = element("button", { class: "attune-link", type: "button" }, "Undo");
    back.addEventListener("click", async () => {
      try {
        const { conflict } = await post("/items/" + item + "/drop", { version });
        say(conflict ? "It was changed since, so it stays on the board." : "Taken off the board.");
      } catch (error) { say(error.message); }
    });
    say("Pinned to ", element("a", { href: local("/findings?board=" + encodeURIComponent(board) + "&item=" +
      encodeURIComponent(item)) }, title), ". ", back);
  }

  // ---- what a card shows ----
  // A card may stand in another one (the likely moves of Othello): its figure is not that one's.
  const plotOf = (card) => Array.from(card.querySelectorAll(".js-plotly-plot"))
    .find((plot) => plot.closest("[data-card]") === card) || null;
  const AXIS = /^[xy]axis\d*$/, SCENE = /^scene\d*$/;
  /** The window of a figure, where it is not the one that plotly chooses. */
  function windowOf(plot) {
    const there = {};
    Object.entries((plot && plot.layout) || {}).forEach(([name, part]) => {
      if (AXIS.test(name) && part && part.autorange === false && part.range) there[name + ".range"] = Array.from(part.range);
      if (SCENE.test(name) && part && part.camera) there[name + ".camera"] = part.camera;
    });
    return there;
  }
  /** What a picture is made of, as it is now: another figure may stand there before anybody has time to make it. */
  function pictureOf(plot) {
    const { width, height } = plot.getBoundingClientRect();
    const background = getComputedStyle(plot.closest(".attune-card") || document.body).backgroundColor;
    return [{ data: plot.data, layout: { ...plot.layout, paper_bgcolor: background } },
      { format: "png", width: Math.round(width) || 800, height: Math.round(height) || 400 }];
  }
  const idle = window.requestIdleCallback || ((act) => setTimeout(act, 200));

  const busy = new Set();
  /** Pin what the card of that name shows. */
  async function pin(name) {
    const ref = read({ settings: name }, "data");
    if (!ref || !ref.view) { say("There is nothing to pin yet."); return; }
    if (busy.has(name)) return;
    busy.add(name);
    const card = document.querySelector('[data-card="' + CSS.escape(name) + '"]'), plot = plotOf(card);
    const picture = plot && pictureOf(plot);
    const { facts: _, ...plain } = ref;
    try {
      const made = await post("/pin", { ref: plain, title: card.querySelector("h2, h3").textContent, board: lastBoard(),
        address: bare(window.location.pathname) + window.location.search, window: windowOf(plot),
        theme: document.documentElement.getAttribute("data-bs-theme"), height: plot ? plot.offsetHeight : 0 });
      useBoard(made.board);
      sayWhere(made);
      // The pin stands without its picture: a figure that cannot be one is no matter.
      if (picture) idle(() => window.Plotly.toImage(...picture).then((png) => post("/pins/" + made.pin + "/picture", { png })).catch(() => {}));
    } catch (error) {
      say("Not pinned: " + error.message);
    }
    busy.delete(name);
  }

  on("click", "[data-pin]", (button) => pin(button.dataset.pin));
  /** The card that a key means: the one with the keyboard in it, else the one under the pointer. */
  function cardOfKey() {
    const focused = document.activeElement && document.activeElement.matches(":focus-visible")
      ? document.activeElement.closest("[data-card]") : null;
    const below = Array.from(document.querySelectorAll("[data-card]:hover")).pop();
    return focused || below || null;
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "p" || !isShortcut(event)) return;
    const card = cardOfKey();
    if (card && card.querySelector("[data-pin]")) pin(card.dataset.card);
  });

  register("attune_pin", { author, lastBoard, pin, useBoard });
})();
