// What stands on a board: findings, notes, sections, steps of a tour. Each is built once and then follows what the desk
// knows, so that neither a save nor another's change takes the cursor out of a text.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const KINDS = { finding: "Finding", note: "Note", section: "Section", step: "Step" };
  const NUMBER = /\{\{\s*([^{}@]*?)\s*(?:@[^{}]*)?\}\}/g;
  const built = new Map(); // by id

  /** What an item is called where there is room for a few words. */
  function nameOf(it) {
    const { claim, title, note } = F.body(it);
    const words = (claim || title || note || "").trim().split("\n")[0].replace(NUMBER, "$1");
    return words ? (words.length > 60 ? words.slice(0, 59) + "…" : words) : KINDS[it.base.kind] + " without words";
  }

  /** A text that is there where somebody wants it: hidden until it has words or its menu row was pressed. */
  function optional(it, field, label, hint) {
    const made = F.text(it, { field, label, hint });
    const host = element("div", { class: "fnd-optional fnd-optional-" + field }, element("h4", {}, label), made.element);
    let wanted = false;
    const update = () => { made.update(); host.hidden = !wanted && !F.value(it, field); };
    update();
    return { element: host, update, write: () => { wanted = true; update(); made.write(); } };
  }
  /** A short text without Markdown, such as an address. */
  function lineOf(it, field, label, hint, clean = (text) => text) {
    const box = element("input", { class: "form-control form-control-sm", "aria-label": label, placeholder: hint });
    const update = () => { if (document.activeElement !== box) box.value = F.value(it, field) || ""; };
    box.addEventListener("input", () => F.edit(it, field, clean(box.value)));
    update();
    return { element: element("label", { class: "fnd-line" }, element("span", {}, label), box), update };
  }
  // A link that was copied from the address bar is cut to what is Attune's own.
  const pathOf = (text) => { const m = /^https?:\/\/[^/]+(\/.*)$/.exec(text.trim()); return m ? window.dash_clientside.attune_kit.bare(m[1]) : text.trim(); };

  function drop(it) {
    F.write("/items/" + it.base.id + "/drop", { version: it.base.version })
      .then((answer) => F.say("action", answer.conflict ? "Somebody has just changed this, so it was not removed." : KINDS[it.base.kind] + " removed. Undo brings it back."))
      .catch((error) => F.say("action", error.message));
  }
  async function putBack(it) {
    await F.addItem(it.base.kind, F.body(it), null);
    F.desk.items = F.desk.items.filter((other) => other !== it);
    F.draw();
  }
  const letGo = (it) => { F.desk.items = F.desk.items.filter((other) => other !== it); F.draw(); };

  /** Parts of each kind: what is its head, what is below, what its menu has beside. */
  const MAKE = {
    finding(it) {
      const claim = F.text(it, { field: "claim", label: "claim", tag: "h3", hint: "One sentence: what do these views show?", one: true });
      const views = F.views(it);
      const note = F.text(it, { field: "note", label: "note", hint: "Note: what it means, what speaks against it (Markdown)" });
      const counter = optional(it, "counter", "Counter-example", "Where it does not hold");
      const speaker = optional(it, "speaker", "Speaker note", "What you want to say; shown in the speaker's window only");
      return { head: claim, below: [views, note, counter, speaker], first: claim, menu: () => [
        ["Add a view …", () => F.addView(it)], ["Still true?", () => F.check([it])],
        ["Counter-example", counter.write], ["Speaker note", speaker.write]] };
    },
    note(it) {
      const note = F.text(it, { field: "note", label: "note", hint: "A note in Markdown" });
      return { head: note, below: [], first: note, menu: () => [] };
    },
    section(it) {
      const title = F.text(it, { field: "title", label: "title of the section", tag: "h2", hint: "Title of the section", one: true, bare: true });
      return { head: title, below: [], first: title, menu: () => [] };
    },
    step(it) {
      const note = F.text(it, { field: "note", label: "commentary", hint: "What one sees there: a sentence or two", bare: true });
      const address = lineOf(it, "address", "Page", "A link copied from a page: /attention?…", pathOf);
      const card = lineOf(it, "card", "Card", "The card that it speaks of, such as matrix; or nothing");
      return { head: note, below: [address, card], first: note, menu: () => [] };
    },
  };

  function conflict(it) {
    const words = (value) => (Array.isArray(value) ? value.length + " views" : value || "nothing");
    const rows = it.conflict.fields.map((field) => element("div", { class: "fnd-versions" },
      element("div", {}, element("h5", {}, "Mine"), element("p", { dir: "auto" }, words(it.draft[field]))),
      element("div", {}, element("h5", {}, "Theirs"), element("p", { dir: "auto" }, words(it.base.body[field])))));
    return element("div", { class: "fnd-conflict", role: "group", "aria-label": "Two versions" },
      element("p", {}, "Somebody else has changed the same text. Nothing is lost: choose."), rows,
      element("div", { class: "attune-row" }, F.button("Keep mine", () => F.settle(it, "mine")), F.button("Take theirs", () => F.settle(it, "theirs")),
        F.button("Keep both", () => F.settle(it, "both"))));
  }
  function trouble(it) {
    if (it.conflict) return [conflict(it)];
    if (it.gone) return [element("div", { class: "fnd-conflict", role: "group" }, element("p", {}, "Somebody has removed this while you were writing. Your text is still here."),
      element("div", { class: "attune-row" }, F.button("Put it back", () => putBack(it)), F.button("Let it go", () => letGo(it))))];
    return it.refused && !["claim", "title", "note", "counter", "speaker"].includes(it.refused.field)
      ? [element("p", { class: "fnd-refusal", role: "alert" }, it.refused.text)] : [];
  }

  function make(it) {
    const parts = MAKE[it.base.kind](it), kind = KINDS[it.base.kind];
    const handle = element("button", { type: "button", class: "fnd-handle", draggable: "true", title: "Drag, or use the arrow keys" }, "⠿");
    const tools = F.menu("More on this " + kind.toLowerCase(), [...parts.menu(), ["Remove", () => drop(it)]]);
    const said = element("div", { class: "fnd-trouble" });
    const host = element("li", { class: "fnd-item fnd-" + it.base.kind, "data-item": it.base.id, id: "item-" + it.base.id },
      element("div", { class: "fnd-head" }, handle, parts.head.element, tools), said, parts.below.map((part) => part.element));
    host.addEventListener("focusin", () => F.current(it.base.id));
    host.addEventListener("pointerdown", () => F.current(it.base.id));
    let state = null;
    function update() {
      [parts.head, ...parts.below].forEach((part) => part.update());
      handle.setAttribute("aria-label", "Move: " + nameOf(it));
      const now = JSON.stringify([it.conflict, it.gone, it.refused, it.conflict && [it.base.body, it.draft]]);
      if (now !== state) { state = now; said.replaceChildren(...trouble(it)); }
    }
    update();
    return { element: host, update, first: parts.first, of: it };
  }
  /** The elements of all items, in order; those that are not there any more are forgotten. */
  function elements() {
    const there = new Set(F.desk.items.map((it) => it.base.id));
    [...built.keys()].filter((id) => !there.has(id)).forEach((id) => built.delete(id));
    return F.desk.items.map((it) => {
      const known = built.get(it.base.id);
      if (known && known.of === it) known.update();
      else built.set(it.base.id, make(it));
      return built.get(it.base.id).element;
    });
  }
  /** Write the first text of an item. */
  const writeOn = (id) => { const made = built.get(id); if (made) { made.first.write(); made.element.scrollIntoView({ block: "nearest" }); } };

  register("attune_findings", { elements, nameOf, writeOn });
})();
