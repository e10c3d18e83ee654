// The Faithfulness page in the browser: the form of interventions. What it holds is in the page's store "fth-draft": edits
// stay when the mechanism under the same text is switched, and go when the page is left.
(function () {
  const { byId, element, none, on, read, register, same, save, set, turn } = window.dash_clientside.attune_kit;

  // A step that was pressed in the text is edited in its tab.
  on("click", "[data-fth-step]", (at) => edit(Number(at.dataset.fthStep)));
  on("keydown", "[data-fth-step]", (at, event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    edit(Number(at.dataset.fthStep));
    event.preventDefault();
  });
  function edit(number) {
    set("fth-tab", { active_tab: "intervene" });
    setTimeout(() => {
      const choice = byId("fth-form") && byId("fth-form").querySelector("select[data-at='" + (number - 1) + "']");
      if (!choice) return;
      choice.scrollIntoView({ block: "nearest" });
      choice.focus();
    }, 120);
  }

  // ---- interventions ----
  const CHOICES = [["keep", "keep it"], ["delete", "delete it"], ["corrupt", "corrupt: a wrong value"],
    ["paraphrase", "paraphrase"], ["fill", "fill with dots"], ["block", "block attention to it"], ["text", "text of your own"]];
  // of: the item; edits, texts, key: what stands in the form; asked: what was last applied; failed: whether that failed;
  // opened: whether there was an item since the page was opened.
  const NOTHING = { of: null, edits: [], texts: [], key: "", asked: null, failed: false, opened: false };
  const draft = () => read("fth-draft", "data") || NOTHING;
  const keep = (changes) => save("fth-draft", { ...draft(), ...changes });
  const replaced = (list, k, value) => list.map((v, i) => (i === k ? value : v));
  const untouched = (of) => ({ of, edits: of.steps.map(() => "keep"), texts: of.steps.map((s) => s.trim()), key: of.key, asked: null });

  // An empty key is no other key: the model would be asked with the old one, and the answer taken for the key's.
  const empty = (d) => !!d.of.key && !d.key.trim();
  const touched = (d) => d.edits.some((e) => e !== "keep") || (!empty(d) && d.key.trim() !== d.of.key);
  const question = (d) => ({ item: d.of.item, study: d.of.study,
    edits: d.edits.map((e, k) => (e === "text" ? "text:" + d.texts[k] : e)), key: d.key.trim() === d.of.key ? "" : d.key.trim() });
  // Whatever differs from what was last applied can be applied, also the way back to the text as it was.
  function live() {
    const d = draft();
    if (!d.of) return;
    set("fth-apply", { disabled: empty(d) || (d.asked ? same(question(d), d.asked) : !touched(d)) });
    const said = byId("fth-key-said");
    if (said) said.textContent = empty(d) ? "Write another key: none at all cannot be swapped in." : "";
  }
  function change(changes) {
    keep(changes);
    live();
  }

  function step(d, text, k) {
    const choice = element("select", { class: "form-select form-select-sm", "data-at": k, "aria-label": "What happens to step " + (k + 1) },
      CHOICES.map(([value, name]) => element("option", { value }, name)));
    choice.value = d.edits[k];
    const own = element("textarea", { class: "form-control form-control-sm attune-prompt fth-own",
      rows: Math.min(4, 1 + Math.floor(text.length / 50)), maxlength: 2000, spellcheck: "false", "aria-label": "Text of step " + (k + 1) });
    own.value = d.texts[k];
    own.hidden = d.edits[k] !== "text";
    choice.addEventListener("change", () => {
      own.hidden = choice.value !== "text";
      if (!own.hidden) own.focus();
      change({ edits: replaced(draft().edits, k, choice.value) });
    });
    own.addEventListener("input", () => change({ texts: replaced(draft().texts, k, own.value) }));
    return element("div", { class: "fth-form-row" }, element("span", { class: "fth-number" }, k + 1),
      element("span", { class: "fth-form-text", title: text.trim() }, text.trim()), choice, own);
  }
  function key(d) {
    const entry = element("input", { class: "form-control form-control-sm", type: "text", maxlength: 2000, id: "fth-key-entry" });
    entry.value = d.key;
    entry.addEventListener("input", () => change({ key: entry.value }));
    entry.addEventListener("keydown", (event) => { if (event.key === "Enter" && !byId("fth-apply").disabled) byId("fth-apply").click(); });
    return element("div", { class: "fth-form-row fth-form-key" + (d.of.key.length > 14 ? " fth-long" : "") },
      element("span"), element("label", { for: "fth-key-entry" }, "key or hint"), entry,
      element("span", { id: "fth-key-said", class: "attune-note fth-key-said", role: "status" }));
  }
  function draw(d) {
    const host = byId("fth-form");
    if (host) host.replaceChildren(...(d.of ? d.of.steps.map((text, k) => step(d, text, k)) : []), ...(d.of && d.of.key ? [key(d)] : []));
  }

  // The same text under another mechanism, whose edits are those of this one.
  const isTwin = (of, data) => of.study === data.study && of.steps.length === data.steps.length &&
    (of.item === data.item || (!["own", "file"].includes(data.tier) && data.twins.some((t) => t.item === of.item)));
  function form(data, start) {
    const before = draft();
    if (!data) {
      keep({ of: null, asked: null });
      draw(NOTHING);
      return none();
    }
    const of = { item: data.item, study: data.study, steps: data.steps, key: data.key || "" };
    const twin = before.of && isTwin(before.of, data), d = { ...before, ...untouched(of), opened: true };
    if (twin) {
      d.edits = before.edits;
      d.texts = before.texts.map((t, k) => (d.edits[k] === "text" ? t : d.texts[k]));
      if (before.of.key !== before.key.trim() && before.key.trim()) d.key = before.key;
    }
    // A page that was opened anew begins with what its address says of its first item.
    const given = !before.opened && start && start.item === data.item &&
      ((start.edits || []).length === data.steps.length || start.key);
    if (given) {
      (start.edits || []).forEach((e, k) => {
        d.edits[k] = e.startsWith("text:") ? "text" : e;
        if (e.startsWith("text:")) d.texts[k] = e.slice(5);
      });
      if (start.key && of.key) d.key = start.key;
    }
    const applied = (twin && before.asked) || given;
    if (applied && touched(d)) d.asked = question(d);
    keep(d);
    if (d.asked) save("fth-asked", { n: turn(), ...d.asked });
    else if (applied || d.failed || !twin) save("fth-asked", null);
    draw(d);
    live();
    return none();
  }
  function apply(clicks) {
    const d = draft();
    if (!clicks || !d.of) return [none(), none()];
    const asked = question(d);
    keep({ asked });
    return [{ n: turn(), ...asked }, true];
  }
  // What could not be applied can be tried again.
  function failed(error) {
    if (error && draft().of) change({ failed: true, asked: null });
    else keep({ failed: !!error });
    return none();
  }
  function reset(clicks) {
    const { of } = draft();
    if (!clicks || !of) return none();
    keep(untouched(of));
    draw(draft());
    live();
    return null;
  }

  // ---- address ----
  function address(item, tab, tier, measure, asked, model, names) {
    if (!item) return none();
    const mine = asked && asked.item === item.item && asked.study === item.study ? asked : { edits: [], key: "" };
    const kept = mine.edits.some((e) => e !== "keep") || mine.key ? mine.edits : [];
    return window.dash_clientside.attune.address(model, item.study, item.item, tab, tier, measure, kept, mine.key, names);
  }

  register("attune_faith", { address, apply, failed, form, reset });
})();
