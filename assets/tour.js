// The panel of a tour: commentary over the page, which step of how many, and the ways on, back and out. It outlines the
// card that a step speaks of and lies where it hides least of it. Each step opens its page anew, at its address; the
// window remembers the tour meanwhile. A link with ?tour=NAME&step=N begins one, from any page.
(function () {
  const { bare, element, isOwn, local, on } = window.dash_clientside.attune_kit;
  const KEY = "attune-tour", ADDED = ["tour", "step"];
  const GAP = 14, PATIENCE = 20000, SETTLING = 10000;
  // A page inside a talk, or in another site, is no place for a tour.
  if (window.parent !== window) return;

  // ---- what the window remembers ----
  const recall = () => { try { return JSON.parse(sessionStorage.getItem(KEY)); } catch { return null; } };
  const remember = (state) => {
    try {
      if (state) sessionStorage.setItem(KEY, JSON.stringify(state)); else sessionStorage.removeItem(KEY);
    } catch { /* no storage: the tour ends with this page */ }
  };
  let state = null; // { tour: {name, title, steps}, step: from 0 }
  let panel = null, ring = null, watch = 0;

  // ---- addresses ----
  const plain = (search) => {
    const query = new URLSearchParams(search);
    ADDED.forEach((name) => query.delete(name));
    return query.toString();
  };
  const stepNow = () => state.tour.steps[state.step];
  /** Whether the page is at an address already: as it was opened, for the page writes its own address later. */
  const isAt = (address) => {
    const [path, search] = address.split("?");
    return bare(window.location.pathname) === path && plain(window.location.search) === plain(search || "");
  };
  const onPage = () => bare(window.location.pathname) === stepNow().address.split("?")[0];
  function open(step) {
    const before = stepNow().address;
    state.step = step;
    remember(state);
    // The next step of the same view leaves it as it is: what was played with meanwhile stays.
    if (stepNow().address === before && onPage()) show();
    else visit();
  }
  function visit() {
    const [path, search] = stepNow().address.split("?");
    const query = new URLSearchParams(search || "");
    query.set("tour", state.tour.name);
    query.set("step", String(state.step + 1));
    if (isOwn(path)) window.location.assign(local(path) + "?" + query);
  }
  function leave() {
    state = null;
    remember(null);
    clearInterval(watch);
    [panel, ring].forEach((part) => part && part.remove());
    panel = ring = null;
  }

  // ---- the panel ----
  const button = (name, words, keys, more = {}) => element("button", { type: "button", "data-tour-go": name,
    class: "attune-button" + (name === "next" ? " attune-primary" : ""), "aria-keyshortcuts": keys, title: words + " (" + keys + ")", ...more }, words);
  function show() {
    const { tour, step } = state, last = step === tour.steps.length - 1;
    if (!panel) {
      panel = element("aside", { class: "tour", role: "dialog", "aria-modal": "false", "aria-labelledby": "tour-title", tabindex: -1 });
      ring = element("div", { class: "tour-ring", "aria-hidden": "true", hidden: "" });
      document.body.append(ring, panel);
    }
    panel.replaceChildren(
      element("div", { class: "tour-head" }, element("h2", { id: "tour-title" }, tour.title),
        element("span", { class: "tour-count" }, "step " + (step + 1) + " of " + tour.steps.length)),
      element("div", { class: "tour-note", "aria-live": "polite" }, stepNow().note.split("\n\n").map((part) => element("p", {}, part))),
      element("div", { class: "tour-foot" },
        button("leave", "Leave", "Escape"), button("again", "Open this step again", "r", { hidden: "" }), button("back", "Back", "b", step ? {} : { disabled: "" }),
        last ? button("leave", "End", "n", { class: "attune-button attune-primary", "data-last": "" }) : button("next", "Next", "n")));
    panel.focus({ preventScroll: true });
    follow();
  }
  const cardOf = (name) => (name ? document.querySelector('[data-card="' + CSS.escape(name) + '"]') || document.getElementById(name) : null);
  /** Outline the card, bring it into view once it stands, and keep panel and outline with it. */
  function follow() {
    clearInterval(watch);
    const began = Date.now();
    let seen = null;
    const look = () => {
      const card = cardOf(stepNow().card), box = card && card.getBoundingClientRect();
      const visible = box && box.width > 0 && box.height > 0;
      // What comes later above the card moves it, until somebody takes the page into his own hands.
      if (visible && (card !== seen || (Date.now() - began < SETTLING && hand < began))) scrollTo(card);
      if (visible) seen = card;
      place(visible ? card.getBoundingClientRect() : null);
      if (!visible && Date.now() - began > PATIENCE) ring.hidden = true;
    };
    look();
    watch = setInterval(look, 250);
  }
  const headerBottom = () => {
    const header = document.querySelector(".attune-header");
    return header ? header.getBoundingClientRect().bottom : 0;
  };
  let hand = 0;
  ["wheel", "touchmove", "keydown", "pointerdown"].forEach((kind) => window.addEventListener(kind, () => { hand = Date.now(); }, { passive: true }));
  function scrollTo(card) {
    const box = card.getBoundingClientRect(), top = headerBottom() + GAP, bottom = window.innerHeight - GAP;
    const room = bottom - top, by = box.top - top - Math.max(0, room - box.height) / 2;
    if ((box.top < top || box.bottom > bottom) && Math.abs(by) > 24) window.scrollBy({ top: by, behavior: "instant" });
  }
  /** Lay the outline around the card, and the panel into the corner where it hides least of it. */
  function place(box) {
    ring.hidden = !box;
    panel.querySelector("[data-tour-go=again]").hidden = onPage();
    if (box) Object.assign(ring.style, { left: box.left - 5 + "px", top: box.top - 5 + "px", width: box.width + 10 + "px", height: box.height + 10 + "px" });
    const { offsetWidth: width, offsetHeight: height } = panel;
    const left = GAP, right = document.documentElement.clientWidth - width - GAP;
    const top = headerBottom() + GAP, bottom = window.innerHeight - height - GAP;
    const hidden = ([x, y]) => (box ? Math.max(0, Math.min(x + width, box.right) - Math.max(x, box.left)) *
      Math.max(0, Math.min(y + height, box.bottom) - Math.max(y, box.top)) : 0);
    const corners = [[right, bottom], [left, bottom], [right, top], [left, top]];
    const [x, y] = corners.reduce((best, corner) => (hidden(corner) < hidden(best) - 1 ? corner : best));
    Object.assign(panel.style, { left: x + "px", top: y + "px" });
  }

  // ---- ways on ----
  const go = {
    next: () => { if (state.step < state.tour.steps.length - 1) open(state.step + 1); else end(); },
    back: () => { if (state.step) open(state.step - 1); },
    again: visit,
    leave,
  };
  function end() {
    leave();
    window.location.assign(local("/"));
  }
  on("click", "[data-tour-go]", (pressed) => { if ("last" in pressed.dataset) end(); else go[pressed.dataset.tourGo](); });
  const typing = (target) => target.closest && target.closest("input, textarea, select, [contenteditable=true], [role=slider], [role=listbox], [role=combobox]");
  const KEYS = { n: "next", b: "back", r: "again" };
  document.addEventListener("keydown", (event) => {
    if (!state || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (document.querySelector(".offcanvas.show, .modal.show, #card-tok:not([hidden])")) return;
      leave();
    } else if (KEYS[event.key] && !typing(event.target)) {
      event.preventDefault();
      go[KEYS[event.key]]();
    }
  });

  // ---- beginning ----
  async function begin(name, step) {
    const response = await fetch(local("/findings/api/tours/" + encodeURIComponent(name)));
    const tour = response.ok ? await response.json() : { refused: "The server answered " + response.status + "." };
    if (tour.refused) {
      window.dash_clientside.set_props("message", { children: tour.refused, is_open: true });
      return;
    }
    state = { tour, step: Math.max(0, Math.min(tour.steps.length - 1, step)) };
    remember(state);
    if (isAt(stepNow().address)) show();
    else visit();
  }
  on("click", "a[data-tour]", (link, event) => {
    event.preventDefault();
    begin(link.dataset.tour, 0).catch(() => window.location.assign(link.href));
  });
  function start() {
    const query = new URLSearchParams(window.location.search);
    const named = query.get("tour"), step = Number.parseInt(query.get("step") || "1", 10) - 1 || 0;
    state = recall();
    if (named && (!state || state.tour.name !== named || state.step !== step || !isAt(stepNow().address))) {
      state = null;
      begin(named, step).catch(() => window.dash_clientside.set_props("message", {
        children: "Attune does not answer, so the tour cannot begin. Reload the page.", is_open: true }));
    } else if (state) show();
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
