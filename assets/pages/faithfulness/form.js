// The Faithfulness page in the browser: the form of interventions. What it holds lives here, so that edits stay when the
// mechanism under the same text is switched.
(function () {
  const { byId, element, none, on, register, same, save, set, turn } = window.dash_clientside.attune_kit;

  // A step that was pressed in the text is edited in its tab.
  on("click", "[data-fth-step]", (at) => step(Number(at.dataset.fthStep)));
  on("keydown", "[data-fth-step]", (at, event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    step(Number(at.dataset.fthStep));
    event.preventDefault();
  });
  function step(number) {
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
  const draft = { host: null, of: null, edits: [], texts: [], key: "", asked: null, failed: false };
  const edits = () => draft.edits.map((e, k) => (e === "text" ? "text:" + draft.texts[k] : e));
  // An empty key is no other key: the model would be asked with the old one, and the answer taken for the key's.
  const empty = () => keyed(draft.of) && !draft.key.trim();
  const touched = () => draft.of && (draft.edits.some((e) => e !== "keep") || (!empty() && draft.key.trim() !== draft.of.key));
  const now = () => ({ item: draft.of.item, study: draft.of.study, edits: edits(), key: draft.key.trim() === draft.of.key ? "" : draft.key.trim() });
  function live() {
    if (!draft.of) return;
    // Whatever differs from what was last applied can be applied, also the way back to the text as it was.
    set("fth-apply", { disabled: empty() || (draft.asked ? same(now(), draft.asked) : !touched()) });
    const said = byId("fth-key-said");
    if (said) said.textContent = empty() ? "Write another key: none at all cannot be swapped in." : "";
  }
  const keyed = (data) => !!data.key;
  function draw() {
    const host = byId("fth-form");
    if (!host) return;
    const rows = draft.of.steps.map((text, k) => {
      const choice = element("select", { class: "form-select form-select-sm", "data-at": k, "aria-label": "What happens to step " + (k + 1) },
        CHOICES.map(([value, name]) => element("option", { value }, name)));
      choice.value = draft.edits[k];
      const own = element("textarea", { class: "form-control form-control-sm attune-prompt fth-own",
        rows: Math.min(4, 1 + Math.floor(text.length / 50)), maxlength: 2000, spellcheck: "false", "aria-label": "Text of step " + (k + 1) });
      own.value = draft.texts[k];
      own.hidden = draft.edits[k] !== "text";
      choice.addEventListener("change", () => {
        draft.edits[k] = choice.value;
        own.hidden = choice.value !== "text";
        if (!own.hidden) own.focus();
        live();
      });
      own.addEventListener("input", () => { draft.texts[k] = own.value; live(); });
      return element("div", { class: "fth-form-row" }, element("span", { class: "fth-number" }, k + 1),
        element("span", { class: "fth-form-text", title: text.trim() }, text.trim()), choice, own);
    });
    if (keyed(draft.of)) {
      const entry = element("input", { class: "form-control form-control-sm", type: "text", maxlength: 2000, id: "fth-key-entry" });
      entry.value = draft.key;
      entry.addEventListener("input", () => { draft.key = entry.value; live(); });
      entry.addEventListener("keydown", (event) => { if (event.key === "Enter" && !byId("fth-apply").disabled) byId("fth-apply").click(); });
      rows.push(element("div", { class: "fth-form-row fth-form-key" + (draft.of.key.length > 14 ? " fth-long" : "") },
        element("span"), element("label", { for: "fth-key-entry" }, "key or hint"), entry,
        element("span", { id: "fth-key-said", class: "attune-note fth-key-said", role: "status" })));
    }
    host.replaceChildren(...rows);
  }
  function form(data, start) {
    // A page that was opened anew begins with what its address says; what was applied before is in there.
    const host = byId("fth-form"), fresh = host !== draft.host;
    const before = fresh ? null : draft.of;
    draft.host = host;
    if (fresh) draft.asked = null;
    if (!data) {
      draft.of = null;
      draft.asked = null;
      if (host) host.replaceChildren();
      return none();
    }
    const twin = before && before.study === data.study && before.steps.length === data.steps.length &&
      (before.item === data.item || !["own", "file"].includes(data.tier) && data.twins.some((t) => t.item === before.item));
    const changed = twin && before.key !== draft.key.trim();
    const applied = twin && draft.asked;
    draft.of = { item: data.item, study: data.study, steps: data.steps, key: data.key || "" };
    if (!twin) {
      draft.edits = data.steps.map(() => "keep");
      draft.texts = data.steps.map((s) => s.trim());
      draft.asked = null;
    } else draft.texts = draft.texts.map((t, k) => (draft.edits[k] === "text" ? t : data.steps[k].trim()));
    if (!changed || empty()) draft.key = draft.of.key;
    // The address names the edits of the first item that opens.
    const given = fresh && start && (start.item === data.item) && ((start.edits || []).length === data.steps.length || start.key);
    if (given) {
      (start.edits || []).forEach((e, k) => {
        draft.edits[k] = e.startsWith("text:") ? "text" : e;
        if (e.startsWith("text:")) draft.texts[k] = e.slice(5);
      });
      if (start.key && keyed(data)) draft.key = start.key;
    }
    draw();
    if ((applied || given) && touched()) ask();
    else if (applied || draft.failed || !twin) { draft.asked = null; save("fth-asked", null); }
    live();
    return none();
  }
  function ask() {
    draft.asked = now();
    save("fth-asked", { n: turn(), ...draft.asked });
  }
  function apply(clicks) {
    if (!clicks || !draft.of) return [none(), none()];
    draft.asked = now();
    return [{ n: turn(), ...draft.asked }, true];
  }
  // What could not be applied can be tried again.
  function failed(error) {
    draft.failed = !!error;
    if (error && draft.of) { draft.asked = null; live(); }
    return none();
  }
  function reset(clicks) {
    if (!clicks || !draft.of) return none();
    draft.edits = draft.of.steps.map(() => "keep");
    draft.texts = draft.of.steps.map((s) => s.trim());
    draft.key = draft.of.key;
    draft.asked = null;
    draw();
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
