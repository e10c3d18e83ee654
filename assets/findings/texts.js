// A text of an item: read as the server has rendered it, or written in a box that grows. Numbers are chosen from a list
// while it is written, and marked where they were typed.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const nodes = (html) => window.dash_clientside.attune_prose.nodes(html);

  /** Characters beyond which a text is not even kept in its box: it would hold up the page. */
  const LONGEST = 1e6;
  function grow(box) {
    box.style.height = "auto";
    box.style.height = box.scrollHeight + 2 + "px";
  }
  /**
   * A text of `it` by `field`. `label` names it; `tag`: what it is read as; `hint`: what stands in an empty box; `one`: one
   * sentence, which Enter ends. Gives { element, update, write }.
   */
  function text(it, { field, label, tag = "div", hint = "", one = false, bare = false }) {
    const read = element(tag, { class: "fnd-read fnd-read-" + field, dir: "auto" });
    const edit = F.link("Edit", () => write(), { class: "fnd-link fnd-edit", "aria-label": "Edit: " + label });
    const box = element("textarea", { class: "fnd-write fnd-write-" + field, rows: one ? 1 : 2, "aria-label": label,
      placeholder: hint, dir: "auto", spellcheck: "true" });
    const number = F.link("Number", () => choose(), { title: "A number of a view, which follows when that is computed again" });
    const tools = element("div", { class: "fnd-write-tools" }, F.link("Done", () => { leave(); edit.focus(); }), bare ? null : number,
      one || bare ? null : element("span", { class: "attune-note" }, "Markdown"));
    const refusal = element("p", { class: "fnd-refusal", role: "alert" });
    const host = element("div", { class: "fnd-text fnd-text-" + field }, read, edit, box, tools, refusal);
    let open = false, drawn = null;

    function write() {
      open = true;
      show();
      grow(box);
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
    }
    function leave() {
      open = false;
      F.save(it);
      update();
    }
    function show() {
      const refused = it.refused && it.refused.field === field;
      const writing = open || !F.value(it, field) || refused || Boolean(it.conflict && it.conflict.fields.includes(field));
      host.classList.toggle("fnd-writing", writing);
      host.classList.toggle("fnd-open", open);
    }
    function update() {
      const text = F.value(it, field) || "", html = it.base.html[field] || "";
      if (box.value !== text && (document.activeElement !== box || !(field in it.draft))) {
        const [from, to] = [box.selectionStart, box.selectionEnd];
        box.value = text;
        if (document.activeElement === box) box.setSelectionRange(from, to);
        grow(box);
      }
      // Until the server has rendered it, a text is read as it was typed.
      const wanted = field in it.draft ? text : html;
      if (drawn !== wanted) { read.replaceChildren(...(field in it.draft ? [text] : nodes(html))); drawn = wanted; }
      const refused = it.refused && it.refused.field === field ? it.refused.text : "";
      if (refusal.textContent !== refused) refusal.textContent = refused;
      box.setAttribute("aria-invalid", refused ? "true" : "false");
      show();
    }
    async function choose() {
      const [from, to] = [box.selectionStart, box.selectionEnd];
      const reference = await F.chooseNumber(it);
      write();
      if (!reference) { box.setSelectionRange(from, to); return; }
      box.setRangeText(reference, from, to, "end");
      changed();
    }
    function changed() {
      if (box.value.length > LONGEST) {
        refusal.textContent = "What was put in is " + (box.value.length / 1e6).toFixed(1) + " million characters long; a text may have 200,000. It was not taken.";
        box.value = F.value(it, field) || "";
        return;
      }
      F.edit(it, field, one ? box.value.replace(/\s*\n\s*/g, " ") : box.value);
      show();
      grow(box);
    }
    box.addEventListener("input", changed);
    box.addEventListener("focus", () => { open = true; show(); grow(box); });
    host.addEventListener("focusout", (event) => {
      if (!host.contains(event.relatedTarget) && document.hasFocus() && !document.querySelector("dialog[open]")) leave();
    });
    box.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape" || (event.key === "Enter" && (one || event.ctrlKey || event.metaKey))) {
        event.preventDefault();
        event.stopPropagation();
        leave();
        (host.classList.contains("fnd-writing") ? host.closest(".fnd-item").querySelector(".fnd-handle") : edit).focus();
      }
    });
    read.addEventListener("dblclick", write);
    update();
    return { element: host, update, write };
  }

  /** A number from the list of those that an item can name: its reference, or null. */
  function chooseNumber(it) {
    return F.dialog("Which number?", (close) => {
      const search = element("input", { type: "search", class: "form-control form-control-sm", "aria-label": "Search", placeholder: "Search by name or view" });
      const list = element("div", { class: "fnd-choices", role: "group", "aria-label": "Numbers" });
      const say = element("p", { class: "attune-note", "aria-live": "polite" });
      let turn = 0;
      async function fill() {
        const mine = (turn += 1);
        try {
          const { numbers, count } = await F.ask("/items/" + it.base.id + "/numbers?words=" + encodeURIComponent(search.value));
          if (mine !== turn) return;
          list.replaceChildren(...numbers.map((n) => F.button([element("strong", {}, n.value), element("span", {}, n.name),
            element("small", {}, n.title)], () => close(n.reference), { class: "fnd-choice" })));
          say.textContent = !count ? "No number has these words. A number belongs to a view: add one first."
            : count > numbers.length ? numbers.length + " of " + count + " numbers; type a word to narrow them down." : "";
        } catch (error) { say.textContent = error.message; }
      }
      search.addEventListener("input", fill);
      fill();
      return element("div", {}, search, list, say);
    });
  }

  register("attune_findings", { chooseNumber, text });
})();
