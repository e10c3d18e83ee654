// The keys of the Findings page. They work where no text is being written and no dialog is open.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const KEYS = [
    ["j, k", "next and previous item"],
    ["e or Enter", "write the claim of the item"],
    ["f, n, s", "new finding, note, section behind it"],
    ["Alt+↑, Alt+↓", "move the item (or the arrow keys on its handle)"],
    ["c", "is this finding still true?"],
    ["t", "present the board"],
    ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"],
    ["Esc or Ctrl+Enter", "leave a text; it is saved"],
    ["?", "these keys"],
  ];
  function showKeys() {
    F.dialog("Keys", element("dl", { class: "fnd-keys" }, KEYS.map(([key, words]) => element("div", {}, element("dt", {}, key), element("dd", {}, words)))));
  }
  function go(by) {
    const { items } = F.desk, here = F.placeOf(F.currentItem());
    const it = items[Math.max(0, Math.min(items.length - 1, here + by))];
    const host = it && document.getElementById("item-" + it.base.id);
    if (!host) return;
    host.querySelector(".fnd-handle").focus({ preventScroll: true });
    host.scrollIntoView({ block: "nearest" });
  }
  const here = (act) => { const id = F.currentItem(); if (F.find(id)) act(id); };
  const ACTS = {
    j: () => go(1), k: () => go(-1), e: () => here(F.writeOn), Enter: () => here(F.writeOn),
    f: () => F.add("finding"), n: () => F.add("note"), s: () => F.add("section"),
    c: () => here((id) => F.check([F.find(id)])), t: F.present, "?": showKeys,
  };
  document.addEventListener("keydown", (event) => {
    if (!F.isOpen() || F.typing(event.target) || document.querySelector("dialog[open], .offcanvas.show, .modal.show")) return;
    const control = event.ctrlKey || event.metaKey, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (control && !event.altKey && (key === "z" || key === "y")) {
      event.preventDefault();
      F.step(key === "y" || event.shiftKey ? "redo" : "undo");
    } else if (event.altKey && (key === "ArrowUp" || key === "ArrowDown")) {
      event.preventDefault();
      here((id) => F.move(id, F.placeOf(id) + (key === "ArrowUp" ? -1 : 1)));
    } else if (!control && !event.altKey && ACTS[key] && !(key === "Enter" && event.target.closest("button, a, summary"))) {
      event.preventDefault();
      ACTS[key]();
    }
  });

  register("attune_findings", { showKeys });
})();
