// The Stage: the page alone and large, for a room that looks at a projector. Header, title and forms go, and the page is
// drawn as for a window of 1100 x 610 pixels and enlarged until it fills this one; nothing is asked again. It is a
// transform and not a zoom, since Plotly finds the pointer through transforms only. Keys of the whole app are here too.
(function () {
  const { element, isCovered, isShortcut, none, on, register, byId } = window.dash_clientside.attune_kit;
  const KEY = "attune-stage"; // in the storage of the window: a reload or another page leaves the Stage as it is
  const WIDTH = 1100, HEIGHT = 610, MOST = 4;
  const SHOWN = 2500; // ms that the way out stays after the pointer has moved
  const root = document.documentElement;
  // A page inside a talk, or in another site, has a screen that is not its own.
  const inside = window.parent !== window;

  let wanted = false, own = false; // `own`: the page has keys and a way of presenting of its own
  try { wanted = sessionStorage.getItem(KEY) === "1"; } catch { /* no storage: it ends with this page */ }
  const isOn = () => wanted && !own && !inside;

  const out = element("button", { type: "button", class: "attune-button stage-leave", "data-stage-go": "", "aria-keyshortcuts": "f Escape" }, "Leave the Stage (f)");
  document.body.append(out);

  function fit() {
    const scale = Math.min(window.innerWidth / WIDTH, window.innerHeight / HEIGHT);
    root.style.setProperty("--stage", String(Math.max(1, Math.min(MOST, Math.round(scale * 100) / 100))));
  }
  function apply() {
    const now = isOn();
    if (root.hasAttribute("data-stage") === now) return;
    if (now) fit();
    root.toggleAttribute("data-stage", now);
    // Figures and lists measure their places when the window's size changes.
    window.dispatchEvent(new Event("resize"));
  }
  function turn(to) {
    if (own || inside) return;
    const focused = document.activeElement;
    wanted = to;
    try { sessionStorage.setItem(KEY, to ? "1" : "0"); } catch { /* see above */ }
    apply();
    window.scrollTo({ top: 0, behavior: "instant" });
    if (focused && focused.matches("[data-stage-go]")) (to ? out : byId("stage")).focus({ preventScroll: true });
  }
  window.addEventListener("resize", () => { if (root.hasAttribute("data-stage")) fit(); });
  let going = null;
  window.addEventListener("pointermove", () => {
    if (!isOn()) return;
    root.setAttribute("data-stage", "pointer");
    clearTimeout(going);
    going = setTimeout(() => { if (isOn()) root.setAttribute("data-stage", ""); }, SHOWN);
  }, { passive: true });

  // ---- keys ----
  const KEYS = [
    ["f", "the Stage: the page alone and large; f or Esc leaves"],
    ["1 to 9", "the pages, in the order of the header"],
    ["p", "pin the card under the pointer to the board of findings"],
    ["Tab, arrow keys", "through controls; along tokens, squares of a board and rows of a list"],
    ["Shift+Enter", "on a square of an Othello board: edit it"],
    ["n, b, Esc", "next step and step before in a tour; leave it"],
    ["?", "these keys"],
  ];
  function showKeys() {
    const close = element("button", { type: "button", class: "attune-button" }, "Close");
    const box = element("dialog", { class: "fnd-dialog", "aria-labelledby": "keys-title" }, element("h2", { id: "keys-title" }, "Keys"),
      element("dl", { class: "fnd-keys" }, KEYS.map(([key, words]) => element("div", {}, element("dt", {}, key), element("dd", {}, words)))),
      element("div", { class: "attune-row" }, close));
    close.addEventListener("click", () => box.close());
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
  }
  function go(number) {
    const link = document.querySelectorAll(".attune-nav")[number - 1];
    if (link) link.click();
  }
  document.addEventListener("keydown", (event) => {
    if (inside || own || !isShortcut(event) || isCovered()) return;
    if (event.key === "f") turn(!wanted);
    else if (event.key === "Escape" && isOn()) turn(false);
    else if (event.key === "?") showKeys();
    else if (/^[1-9]$/.test(event.key)) go(Number(event.key));
    else return;
    event.preventDefault();
  });
  on("click", "[data-stage-go]", () => turn(!wanted));

  /** Another page is open. `without`: the paths, with their prefix, of pages that have a way of presenting of their own. */
  function follow(pathname, without) {
    own = without.some((path) => pathname === path || (pathname || "").startsWith(path + "/"));
    const button = byId("stage");
    if (button) button.hidden = own;
    apply();
    return none();
  }

  register("attune_stage", { follow });
})();
