// The Faithfulness page in the browser: the list of items, the switch of regimes, the form of interventions. What the
// form holds lives here, so that edits stay when the mechanism under the same text is switched.
(function () {
  const none = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const byId = (id) => document.getElementById(id);
  let turns = 0;
  const turn = () => "item" + (turns += 1);
  const SIGNS = { true: "●", false: "◇", null: "□" };
  const KIND = { true: "fth-true", false: "fth-false", null: "fth-none" };

  function make(tag, className, text, more) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    Object.entries(more || {}).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  }

  // ---- the list: a row for each text; the regime that is open stays when another text is chosen ----
  let regime = null;
  function member(group, tier) {
    const here = group.members.filter((m) => !tier || m[4] === tier || (tier === "1" && m[4] === "Z"));
    return here.find((m) => m[1] === regime) || here.find((m) => m[4] === tier) || group.members[0];
  }
  function list(items, item, tier, words) {
    const host = byId("fth-list");
    if (!host || !items) return [none(), none()];
    const wanted = (words || "").toLowerCase().split(/\s+/).filter(Boolean);
    const open = item && item.item;
    items.groups.forEach((g) => g.members.forEach((m) => { if (m[0] === open) regime = m[1]; }));
    const text = (g) => g.members.map((m) => [m[0], m[1], m[3]].join(" ")).join(" ").toLowerCase();
    const groups = items.groups.filter((g) => !tier || g.tiers.includes(tier));
    const found = groups.filter((g) => wanted.every((w) => text(g).includes(w)));
    const held = document.activeElement && host.contains(document.activeElement) ? document.activeElement.dataset.fthItem : null;
    const top = host.scrollTop;
    let chosen = null, focus = null;
    const rows = found.map((g) => {
      const current = g.members.some((m) => m[0] === open), m = current ? g.members.find((x) => x[0] === open) : member(g, tier);
      const row = make("button", "fth-row" + (current ? " attune-region-chosen" : ""), null,
        { type: "button", "data-fth-item": m[0], "aria-current": current ? "true" : "false", title: m[3] });
      row.append(make("span", "fth-row-text", m[3]));
      const signs = make("span", "fth-row-signs");
      g.members.forEach((x) => signs.append(make("span", "fth-sign " + KIND[x[2]], SIGNS[x[2]], { title: x[1] })));
      row.append(signs);
      if (current) chosen = row;
      if (held && g.members.some((x) => x[0] === held)) focus = row;
      return row;
    });
    if (!rows.length) rows.push(make("div", "attune-note", items.groups.length ? "No item has these words." : ""));
    host.replaceChildren(...rows);
    host.scrollTop = top;
    if (chosen && host.dataset.shown !== open) { // opened elsewhere: its row is brought into view
      const row = chosen.getBoundingClientRect(), box = host.getBoundingClientRect();
      if (row.bottom > box.bottom) host.scrollTop += row.bottom - box.bottom;
      if (row.top < box.top) host.scrollTop -= box.top - row.top;
    }
    host.dataset.shown = open || "";
    if (focus) focus.focus({ preventScroll: true });
    const said = found.length === groups.length ? groups.length + (groups.length === 1 ? " text" : " texts") : found.length + " of " + groups.length;
    return [none(), items.failed ? "" : said];
  }

  // ---- choosing ----
  function pick(picked, items) {
    return picked && items ? { item: picked.item, study: items.study } : none();
  }
  function open(asked, items, tier) {
    if (!asked || !asked.item) return [none(), none(), none()];
    const study = asked.study || "";
    if (!items || items.study !== study) {
      flag(asked.item);
      return [none(), study, none()];
    }
    const group = items.groups.find((g) => g.members.some((m) => m[0] === asked.item));
    if (!group) return [none(), none(), none()];
    const home = group.members.find((m) => m[0] === asked.item)[4];
    flag(asked.item);
    return [{ item: asked.item, study }, none(), group.tiers.includes(tier) ? none() : home];
  }
  // An item that was opened from below says so where the eye is, with the way up to it.
  let gone = null;
  function flag(name) {
    const card = byId("fth-item-card"), host = byId("fth-flag");
    if (!card || !host || card.getBoundingClientRect().bottom > 80) return;
    host.textContent = name + " is open. See it ↑";
    host.hidden = false;
    clearTimeout(gone);
    gone = setTimeout(() => { host.hidden = true; }, 8000);
  }
  document.addEventListener("click", (event) => {
    const target = event.target.closest && event.target.closest("[data-fth-item], [data-fth-step], [data-fth-attention], #fth-flag");
    if (!target) return;
    if (target.id === "fth-flag") {
      target.hidden = true;
      window.scrollTo({ top: 0, behavior: "smooth" });
    } else if (target.dataset.fthAttention) {
      const link = document.querySelector("#fth-attention a");
      if (link) link.click();
    } else if (target.dataset.fthStep) step(Number(target.dataset.fthStep));
    else if (target.dataset.fthItem) {
      const sisters = target.closest(".fth-switch");
      if (sisters) sisters.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === target)));
      set("fth-picked", { data: { item: target.dataset.fthItem, n: turn() } });
    }
  });
  document.addEventListener("keydown", (event) => {
    const at = event.target.closest && event.target.closest("[data-fth-step]");
    if (at && (event.key === "Enter" || event.key === " ")) {
      step(Number(at.dataset.fthStep));
      event.preventDefault();
    }
    // Arrows walk through the list, as in a list box, and through the regimes.
    const row = event.target.closest && event.target.closest(".fth-list .fth-row, .fth-switch button");
    const by = row && (row.closest(".fth-list") ? { ArrowDown: 1, ArrowUp: -1 } : { ArrowRight: 1, ArrowLeft: -1 })[event.key];
    if (!by) return;
    const rows = Array.from(row.parentElement.querySelectorAll("button:not(:disabled)"));
    rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(row) + by))].focus();
    event.preventDefault();
  });
  // A step that was pressed in the text is edited in its tab.
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
  const form_ = { host: null, of: null, edits: [], texts: [], key: "", asked: null, failed: false };
  const edits = () => form_.edits.map((e, k) => (e === "text" ? "text:" + form_.texts[k] : e));
  // An empty key is no other key: the model would be asked with the old one, and the answer taken for the key's.
  const empty = () => keyed(form_.of) && !form_.key.trim();
  const touched = () => form_.of && (form_.edits.some((e) => e !== "keep") || (!empty() && form_.key.trim() !== form_.of.key));
  const now = () => ({ item: form_.of.item, study: form_.of.study, edits: edits(), key: form_.key.trim() === form_.of.key ? "" : form_.key.trim() });
  const same = (a, b) => a && b && JSON.stringify([a.item, a.study, a.edits, a.key]) === JSON.stringify([b.item, b.study, b.edits, b.key]);
  function live() {
    if (!form_.of) return;
    // Whatever differs from what was last applied can be applied, also the way back to the text as it was.
    set("fth-apply", { disabled: empty() || (form_.asked ? same(now(), form_.asked) : !touched()) });
    const said = byId("fth-key-said");
    if (said) said.textContent = empty() ? "Write another key: none at all cannot be swapped in." : "";
  }
  const keyed = (data) => !!data.key;
  function draw() {
    const host = byId("fth-form");
    if (!host) return;
    const rows = form_.of.steps.map((text, k) => {
      const row = make("div", "fth-form-row");
      const choice = make("select", "form-select form-select-sm", null, { "data-at": k, "aria-label": "What happens to step " + (k + 1) });
      CHOICES.forEach(([value, name]) => choice.append(make("option", "", name, { value })));
      choice.value = form_.edits[k];
      const own = make("textarea", "form-control form-control-sm attune-prompt fth-own", null,
        { rows: Math.min(4, 1 + Math.floor(text.length / 50)), maxlength: 2000, spellcheck: "false", "aria-label": "Text of step " + (k + 1) });
      own.value = form_.texts[k];
      own.hidden = form_.edits[k] !== "text";
      choice.addEventListener("change", () => {
        form_.edits[k] = choice.value;
        own.hidden = choice.value !== "text";
        if (!own.hidden) own.focus();
        live();
      });
      own.addEventListener("input", () => { form_.texts[k] = own.value; live(); });
      row.append(make("span", "fth-number", String(k + 1)), make("span", "fth-form-text", text.trim(), { title: text.trim() }), choice, own);
      return row;
    });
    if (keyed(form_.of)) {
      const row = make("div", "fth-form-row fth-form-key" + (form_.of.key.length > 14 ? " fth-long" : ""));
      const entry = make("input", "form-control form-control-sm", null, { type: "text", maxlength: 2000, id: "fth-key-entry" });
      entry.value = form_.key;
      entry.addEventListener("input", () => { form_.key = entry.value; live(); });
      entry.addEventListener("keydown", (event) => { if (event.key === "Enter" && !byId("fth-apply").disabled) byId("fth-apply").click(); });
      const said = make("span", "attune-note fth-key-said", "", { id: "fth-key-said", role: "status" });
      row.append(make("span", ""), make("label", "", "key or hint", { for: "fth-key-entry" }), entry, said);
      rows.push(row);
    }
    host.replaceChildren(...rows);
  }
  function form(data, start) {
    // A page that was opened anew begins with what its address says; what was applied before is in there.
    const host = byId("fth-form"), fresh = host !== form_.host;
    const before = fresh ? null : form_.of;
    form_.host = host;
    if (fresh) form_.asked = null;
    if (!data) {
      form_.of = null;
      form_.asked = null;
      if (host) host.replaceChildren();
      return none();
    }
    const twin = before && before.study === data.study && before.steps.length === data.steps.length &&
      (before.item === data.item || !["own", "file"].includes(data.tier) && data.twins.some((t) => t.item === before.item));
    const changed = twin && before.key !== form_.key.trim();
    const applied = twin && form_.asked;
    form_.of = { item: data.item, study: data.study, steps: data.steps, key: data.key || "" };
    if (!twin) {
      form_.edits = data.steps.map(() => "keep");
      form_.texts = data.steps.map((s) => s.trim());
      form_.asked = null;
    } else form_.texts = form_.texts.map((t, k) => (form_.edits[k] === "text" ? t : data.steps[k].trim()));
    if (!changed || empty()) form_.key = form_.of.key;
    // The address names the edits of the first item that opens.
    const given = fresh && start && (start.item === data.item) && ((start.edits || []).length === data.steps.length || start.key);
    if (given) {
      (start.edits || []).forEach((e, k) => {
        form_.edits[k] = e.startsWith("text:") ? "text" : e;
        if (e.startsWith("text:")) form_.texts[k] = e.slice(5);
      });
      if (start.key && keyed(data)) form_.key = start.key;
    }
    draw();
    if ((applied || given) && touched()) ask();
    else if (applied || form_.failed || !twin) { form_.asked = null; set("fth-asked", { data: null }); }
    live();
    return none();
  }
  function ask() {
    form_.asked = now();
    set("fth-asked", { data: Object.assign({ n: turn() }, form_.asked) });
  }
  function apply(clicks) {
    if (!clicks || !form_.of) return [none(), none()];
    form_.asked = now();
    return [Object.assign({ n: turn() }, form_.asked), true];
  }
  // What could not be applied can be tried again.
  function failed(error) {
    form_.failed = !!error;
    if (error && form_.of) { form_.asked = null; live(); }
    return none();
  }
  function reset(clicks) {
    if (!clicks || !form_.of) return none();
    form_.edits = form_.of.steps.map(() => "keep");
    form_.texts = form_.of.steps.map((s) => s.trim());
    form_.key = form_.of.key;
    form_.asked = null;
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

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    attune_faith: { list, pick, open, form, apply, failed, reset, address },
  });
})();
