// The order of a board: by dragging a handle, or by the arrow keys on it. The item moves here at once and on the server
// after; what is written on keeps its place in the page, so that nobody's cursor is lost.
(function () {
  const { on, register } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  let dragged = null;

  /** Put the elements of a list into an order without moving the one that has the focus. */
  function arrange(list, elements) {
    if (elements.length === list.children.length && elements.every((e, i) => list.children[i] === e)) return;
    const fixed = elements.find((e) => e.parentNode === list && e.contains(document.activeElement));
    const at = elements.indexOf(fixed);
    Array.from(list.children).filter((e) => !elements.includes(e)).forEach((e) => e.remove());
    elements.forEach((e, i) => {
      if (i < at) list.insertBefore(e, fixed);
      else if (i > at || at < 0) list.append(e);
    });
  }
  /** Move an item to a place in the list (0 is the first). */
  function move(id, place) {
    const { items } = F.desk, from = items.findIndex((it) => it.base.id === id);
    const to = Math.max(0, Math.min(items.length - 1, place));
    if (from < 0 || from === to) return;
    const [it] = items.splice(from, 1);
    items.splice(to, 0, it);
    F.draw();
    const after = to ? items[to - 1].base.id : "";
    F.announce(F.nameOf(it) + ": place " + (to + 1) + " of " + items.length);
    F.sendMove(id, after);
  }
  const placeOf = (id) => F.desk.items.findIndex((it) => it.base.id === id);
  const STEPS = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };
  on("keydown", ".fnd-handle", (handle, event) => {
    if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const id = handle.closest(".fnd-item").dataset.item, by = STEPS[event.key];
    move(id, Number.isFinite(by) ? placeOf(id) + by : by < 0 ? 0 : F.desk.items.length - 1);
    handle.focus();
    handle.closest(".fnd-item").scrollIntoView({ block: "nearest" });
  });

  // ---- dragging ----
  const unmark = () => document.querySelectorAll("[data-drop]").forEach((e) => { delete e.dataset.drop; });
  on("dragstart", ".fnd-handle", (handle, event) => {
    const item = handle.closest(".fnd-item");
    dragged = item.dataset.item;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", "");
    event.dataTransfer.setDragImage(item, 12, 12);
    document.body.classList.add("fnd-dragging");
  });
  const lower = (item, event) => {
    const box = item.getBoundingClientRect();
    return event.clientY > box.top + box.height / 2;
  };
  on("dragover", ".fnd-item", (item, event) => {
    if (!dragged) return;
    event.preventDefault();
    const where = lower(item, event) ? "below" : "above";
    if (item.dataset.drop !== where) { unmark(); item.dataset.drop = where; }
  });
  on("drop", ".fnd-item", (item, event) => {
    if (!dragged) return;
    event.preventDefault();
    const id = dragged, from = placeOf(id);
    const to = placeOf(item.dataset.item) + (lower(item, event) ? 1 : 0);
    move(id, to > from ? to - 1 : to);
  });
  document.addEventListener("dragend", () => { dragged = null; unmark(); document.body.classList.remove("fnd-dragging"); });

  register("attune_findings", { arrange, move, placeOf });
})();
