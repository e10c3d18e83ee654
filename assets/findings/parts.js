// Small parts of the Findings page: buttons, menus, dialogs, what is said aloud.
(function () {
  const { byId, element, on, register } = window.dash_clientside.attune_kit;

  /** A button that calls `then`; a sentence in its place in `title` where its text is a sign. */
  function button(text, then, attributes = {}) {
    const made = element("button", { type: "button", class: "attune-button", ...attributes }, text);
    made.addEventListener("click", then);
    return made;
  }
  /** A quiet one. */
  const link = (text, then, attributes = {}) => button(text, then, { class: "fnd-link", ...attributes });
  /** Buttons behind a sign, opened by mouse and keyboard; [text, then] each, null for none. */
  function menu(label, entries, sign = "⋯") {
    const rows = entries.filter(Boolean).map(([text, then]) => button(text, (event) => {
      const open = event.currentTarget.closest("details");
      open.open = false;
      open.firstChild.focus();
      then();
    }, { class: "fnd-menu-row" }));
    return element("details", { class: "fnd-menu" }, element("summary", { "aria-label": label, title: label }, sign),
      element("div", { class: "fnd-menu-rows" }, rows));
  }
  const shut = (except) => document.querySelectorAll(".fnd-menu[open]").forEach((m) => { if (m !== except) m.open = false; });
  document.addEventListener("click", (event) => shut(event.target.closest && event.target.closest(".fnd-menu")));
  on("keydown", ".fnd-menu", (open, event) => {
    if (event.key === "Escape" && open.open) { open.open = false; open.firstChild.focus(); event.stopPropagation(); }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const rows = [open.firstChild, ...open.querySelectorAll(".fnd-menu-row")], by = event.key === "ArrowDown" ? 1 : -1;
    open.open = true;
    rows[(rows.indexOf(document.activeElement) + by + rows.length) % rows.length].focus();
    event.preventDefault();
  });

  /**
   * A dialog with a title; gives a promise of what was chosen, null for none. `choices`: [text, value] each, the first is
   * the one that is meant. `content(close)` may close it with a value of its own.
   */
  function dialog(title, content, choices = []) {
    return new Promise((resolve) => {
      let chosen = null;
      const close = (value) => { chosen = value; box.close(); };
      const body = typeof content === "function" ? content(close) : content;
      const rows = choices.map(([text, value], i) => button(text, () => close(value), { class: "attune-button" + (i ? "" : " attune-primary") }));
      const box = element("dialog", { class: "fnd-dialog", "aria-labelledby": "fnd-dialog-title" },
        element("h2", { id: "fnd-dialog-title" }, title), body,
        element("div", { class: "attune-row" }, rows, button(choices.length ? "Cancel" : "Close", () => close(null))));
      box.addEventListener("close", () => { box.remove(); resolve(chosen); });
      document.body.append(box);
      box.showModal();
    });
  }

  /** Say a sentence to those who do not see the page. */
  function announce(text) {
    const host = byId("fnd-live");
    if (host) host.textContent = text;
  }
  const DAY = 86400;
  /** How long ago a time in seconds is. */
  function ago(time) {
    const s = Date.now() / 1000 - time;
    if (s < 60) return "just now";
    if (s < 3600) return Math.round(s / 60) + " min ago";
    if (s < DAY) return Math.round(s / 3600) + " h ago";
    return s < 30 * DAY ? Math.round(s / DAY) + " d ago" : new Date(time * 1000).toLocaleDateString();
  }
  const typing = (e) => Boolean(e && e.matches && (e.matches("input, textarea, select") || e.isContentEditable));

  register("attune_findings", { ago, announce, button, dialog, link, menu, typing });
})();
