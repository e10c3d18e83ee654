// Which views a finding has: added from the board, taken off, moved to another, in another order.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const pinsOf = (it) => F.value(it, "pins") || [];

  function set(it, pins) {
    F.edit(it, "pins", pins);
    F.save(it);
    F.draw();
  }
  function shift(it, pin, by) {
    const pins = [...pinsOf(it)], at = pins.indexOf(pin);
    pins.splice(at, 1);
    pins.splice(at + by, 0, pin);
    set(it, pins);
    F.announce("View " + (at + by + 1) + " of " + pins.length);
  }
  function takeOff(it, pin) {
    set(it, pinsOf(it).filter((id) => id !== pin));
    F.say("action", "The view was taken off. Undo brings it back.");
  }
  async function moveView(it, pin) {
    const others = F.desk.items.filter((other) => other !== it && other.base.kind === "finding");
    const to = await F.dialog("To which finding?", (close) => (others.length
      ? element("div", { class: "fnd-choices" }, others.map((other) => F.button(F.nameOf(other), () => close(other), { class: "fnd-choice" })))
      : element("p", {}, "There is no other finding on this board.")));
    if (!to) return;
    if (!pinsOf(to).includes(pin)) set(to, [...pinsOf(to), pin]);
    takeOff(it, pin);
    F.say("action", "The view was moved.");
  }
  async function splitView(it, pin) {
    await F.addItem("finding", { claim: "", pins: [pin] }, it.base.id);
    takeOff(it, pin);
    F.say("action", "The view has a finding of its own now.");
  }
  /** The claim with the values of its numbers: in another board it cannot name them. */
  const claimOf = (it) => ("claim" in it.draft ? it.draft.claim
    : element("p", {}, window.dash_clientside.attune_prose.nodes(it.base.html.claim)).textContent);
  /** A step of a tour that opens the page at this view, with the claim as its commentary. */
  async function asStep(it, pin) {
    const tours = F.desk.boards.filter((board) => board.kind === "tour");
    const chosen = await F.dialog("Which tour gets the step?", (close) => element("div", { class: "fnd-choices" },
      [...tours, { id: "", title: "A new tour" }].map((tour) => F.button(tour.title, () => close(tour), { class: "fnd-choice" }))));
    if (!chosen) return;
    try {
      const id = chosen.id || (await F.ask("/boards", { title: "New tour", kind: "tour" })).board.id;
      await F.ask("/boards/" + id + "/items", { kind: "step", body: { address: F.desk.pins[pin].address, note: claimOf(it) } });
      F.say("action", "The step stands at the end of the tour.");
    } catch (error) { F.say("action", error.message); }
  }
  /** Views of this board, or of another one, to be added to a finding. */
  async function addView(it) {
    const chosen = await F.dialog("Which view?", (close) => {
      const list = element("div", { class: "fnd-choices", role: "group", "aria-label": "Views" });
      const boards = element("select", { class: "form-select form-select-sm", "aria-label": "Of which board" },
        F.desk.boards.map((b) => element("option", { value: b.id, selected: b.id === F.desk.board.id ? "" : null }, b.title)));
      async function fill() {
        const { pins } = boards.value === F.desk.board.id ? F.desk : await F.ask("/boards/" + boards.value);
        const rows = Object.values(pins).filter((pin) => !pinsOf(it).includes(pin.id));
        list.replaceChildren(...(rows.length ? rows.map((pin) => F.button([element("span", {}, pin.title),
          element("small", {}, pin.view + " · " + pin.date.slice(0, 16).replace("T", " "))], () => close(pin.id), { class: "fnd-choice" }))
          : [element("p", { class: "attune-note" }, "No other view is here. Press Pin on a card of any page, or the key p over it.")]));
      }
      boards.addEventListener("change", () => { fill().catch((error) => { list.textContent = error.message; }); });
      fill();
      return element("div", {}, boards, list);
    });
    if (chosen) set(it, [...pinsOf(it), chosen]);
  }

  register("attune_findings", { addView, asStep, moveView, shift, splitView, takeOff });
})();
