// Still true? What became of each view when it was computed again, and what has changed since it was pinned: in a word,
// a sign and a sentence, never by colour alone.
(function () {
  const { element, read, register } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const WORDS = { equal: ["✓", "Equal"], moved: ["△", "Moved"], failed: ["✕", "Cannot be made"], stale: ["!", "Stale"] };
  const SELDOM = 60000;

  function mark(state, text) {
    const [sign, word] = WORDS[state] || ["", state];
    return element("span", { class: "fnd-verdict", "data-verdict": state, title: text },
      element("span", { "aria-hidden": "true" }, sign + " "), word, element("span", { class: "visually-hidden" }, ". " + text));
  }
  /** The marks of a view, its newest check and what has changed since; and the sentences that say what is behind them. */
  function verdict(check, stale) {
    const marks = [stale && mark("stale", stale), check && mark(check.state, check.text + " Computed again " + F.ago(check.made) + ".")];
    const told = check && check.state !== "equal" ? check.text : "";
    const texts = [told, stale && !told.includes(stale) ? stale : ""];
    return { marks: marks.filter(Boolean), texts: texts.filter(Boolean).map((text) => element("p", {}, text)) };
  }
  /** Compute the views of these items again, as a job. */
  async function check(items) {
    const pins = [...new Set(items.flatMap((it) => F.value(it, "pins") || []))].filter((pin) => F.desk.pins[pin]);
    if (!pins.length) { F.say("action", "There is no view to be computed again."); return; }
    const board = F.desk.board.id, item = items.length === 1 ? items[0].base.id : "";
    try {
      F.desk.check = (await F.ask("/boards/" + board + "/check", { pins, item, session: read("session", "data") || "" })).check;
      F.draw();
    } catch (error) { F.say("action", error.message); }
  }
  let running = "";
  /** The line of a check that is under way, or of how it ended. */
  function progress() {
    const now = F.desk.check;
    if (!now) { running = ""; return []; }
    if (running && now.done) { stale(); F.announce(now.text); }
    running = now.done ? "" : now.number;
    if (now.done) return [element("p", { class: "fnd-action" }, now.text)];
    const stop = F.link("Stop", () => F.ask("/boards/" + F.desk.board.id + "/stop", {}).catch((error) => F.say("action", error.message)));
    return [element("div", { class: "fnd-checking" }, element("progress", { max: 1, value: now.share, "aria-label": "Computing again" }),
      element("span", {}, now.text), stop)];
  }
  let asked = 0;
  /** Ask what has changed since; nothing is computed for it. */
  async function stale() {
    const board = F.desk.board && F.desk.board.id;
    if (!board) return;
    asked = Date.now();
    try {
      const answer = await F.ask("/boards/" + board + "/stale");
      if (F.desk.board && F.desk.board.id === board) { F.desk.stale = answer.stale; F.draw(); }
    } catch { /* the model is starting: it is asked again */ }
  }
  setInterval(() => { if (F.isOpen() && !document.hidden && Date.now() - asked > SELDOM) stale(); }, 5000);

  register("attune_findings", { check, progress, stale, verdict });
})();
