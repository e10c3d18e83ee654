// An answer does not overwrite what a hand has changed since it was asked for. Many answers set controls (a preset fills
// the prompt, a new fit is chosen in its list); on a busy machine they come late, and the newer choice is the reader's.
// The renderer calls these two for every question, with one object for question and answer (app.py).
(function () {
  const { byId, read, register, save } = window.dash_clientside.attune_kit;
  const HELD = new Set(["value", "active_tab", "is_open"]);
  const PICKS = new Set(["chosen-region"]); // stores that a click in a figure writes at once
  const asked = new WeakMap(); // by question: its turn, and what its controls were when it was asked
  const written = new Map(); // by control: what an answer has written last, and when
  let turn = 0;
  const text = (value) => JSON.stringify(value === undefined ? null : value);
  const nameOf = (id, property) => id + "." + property;
  const plain = (rows) => [rows || []].flat(9).filter((r) => r && typeof r.id === "string"
    && (HELD.has(r.property) || (r.property === "data" && PICKS.has(r.id))));

  function whenAsked(question) {
    if (asked.has(question)) return; // a job asks again and again how far it is
    const sent = new Map(plain([question.inputs, question.state]).map((r) => [nameOf(r.id, r.property), text(r.value)]));
    const was = new Map();
    plain(question.outputs).forEach(({ id, property }) => {
      const name = nameOf(id, property);
      was.set(name, sent.has(name) ? sent.get(name) : text(read(id, property)));
    });
    asked.set(question, { turn: (turn += 1), was });
  }

  // A box that sends its text only when it is left holds more than its property says.
  function typing(id, now) {
    const box = byId(id);
    return !!box && box === document.activeElement && typeof box.value === "string" && box.type !== "checkbox"
      && box.value !== String(now === undefined || now === null ? "" : now);
  }
  // A figure has the colours of the theme that its question knew. If that was changed meanwhile, its text and lines take
  // those of the present one at once, and the cards are drawn again, once this answer is on the page.
  function recolour(question, answer) {
    const theme = [question.state || []].flat(9).find((r) => r && r.id === "theme");
    const now = window.dash_clientside.attune.currentTheme();
    const figures = Object.values(answer || {}).map((props) => props && props.figure).filter(Boolean);
    if (!theme || !figures.length || theme.value === now) return;
    const template = (read("templates", "data") || {})[now];
    figures.forEach(({ layout }) => { if (template && layout) layout.template = template; });
    setTimeout(() => save("theme", now), 100);
  }
  // A card that is drawn again for the other theme is drawn from the settings that it had. If it has got others
  // meanwhile, the figure of the older ones stays away.
  function older(question, answer) {
    const outputs = [question.outputs || []].flat(9);
    const settings = [question.state || []].flat(9).find((r) => r && r.id && typeof r.id === "object" && "settings" in r.id);
    if (!answer || !settings || outputs.length !== 1 || !String(outputs[0].property).startsWith("figure")) return;
    if (text(settings.value) !== text(read(settings.id, "data"))) delete answer[outputs[0].id];
  }
  function whenAnswered(question, answer) {
    older(question, answer);
    recolour(question, answer);
    const about = asked.get(question);
    if (!about || !answer) return;
    plain(question.outputs).forEach(({ id, property }) => {
      const props = answer[id] || (answer.props && !Array.isArray(question.outputs) ? answer.props : null);
      if (!props || !(property in props)) return;
      const name = nameOf(id, property), now = read(id, property);
      const last = written.get(name), ours = last && last.turn > about.turn && last.value === text(now);
      const other = text(now) !== about.was.get(name) && !ours;
      if (other || (property === "value" && typing(id, now))) delete props[property];
      else written.set(name, { turn: (turn += 1), value: text(props[property]) });
      if (answer[id] && !Object.keys(props).length) delete answer[id];
    });
  }

  register("attune", { asked: whenAsked, answered: whenAnswered });
})();
