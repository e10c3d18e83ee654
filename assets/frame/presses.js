// Presses that a server answers and that build on one another: none is lost, and none is overtaken by an older answer.
//
// Dash asks anew when an input changes while an answer is under way, and drops the older answer; what the older question
// had changed would be gone. So each question carries all presses that no answer has taken in yet, in their order, and
// the state that they act on. Whichever answer comes, the presses that it has taken leave the queue. An answer to a
// question about a state that is no longer the page's (something else has written it meanwhile) is asked again.
//
// A queue is named by the store of its state, here "game": presses go to the store "game-presses", answers come through
// the store "game-done" (pages/presses.py is the server's half). set_props takes effect at once, whatever is under way.
(function () {
  const { none, on, read, register, same, save, set } = window.dash_clientside.attune_kit;
  const queues = new Map();
  const queue = (name) => {
    if (!queues.has(name)) queues.set(name, { list: [], n: 0, open: 0, sent: 0, of: null });
    return queues.get(name);
  };
  const merges = new Map(); // by queue: the state that an answer leads to, where that is not what it says
  const after = new Map(); // by queue: what else a page does when presses were made or taken in

  function ask(name) {
    const { list } = queue(name);
    if (list.length) save(name + "-presses", { state: read(name, "data"), list: list.slice() });
    if (after.has(name)) after.get(name)(read(name, "data"), list);
  }
  // instead: a kind of press of which only the last counts, such as a slider that is being dragged.
  function press(name, what, instead) {
    const q = queue(name), last = q.list[q.list.length - 1];
    if (instead && last && last.kind === what.kind) q.list.pop();
    q.list.push(Object.assign({ n: (q.n += 1), seed: Math.floor(Math.random() * 2 ** 31) }, what));
    ask(name);
  }
  function settle(name, done) {
    if (!done) return none();
    const q = queue(name);
    if (!q.list.some((p) => p.n <= done.to)) return none(); // taken in before, or of a page that was left
    if (same(done.from, read(name, "data"))) {
      q.list = q.list.filter((p) => p.n > done.to);
      const state = merges.has(name) ? merges.get(name)(done) : done.state;
      // What a hand has moved lies outside the store: a press that leads back to what the store says is an answer too.
      if (!same(done.from, state) || ("start" in done && !same(done.start, state))) save(name, state);
    }
    ask(name);
    return none();
  }
  // Whatever the last question of a queue came to, its presses do not wait for a later one: a press on which the server
  // fails would fail with every press after it, and one that was not answered would act when nobody expects it.
  const queueOf = (inputs) => ([inputs || []].flat(9).map((i) => i && i.id)
    .find((id) => typeof id === "string" && id.endsWith("-presses")) || "").slice(0, -"-presses".length);
  function pressesAsked(question) {
    const name = queueOf(question.inputs);
    if (!name) return;
    const q = queue(name), input = [question.inputs].flat(9).find((i) => i.id === name + "-presses");
    q.open += 1;
    ((input.value || {}).list || []).forEach((p) => { q.sent = Math.max(q.sent, p.n); });
  }
  function pressesResolved(callback, result) {
    const name = queueOf(callback && callback.inputs);
    if (!name) return;
    const q = queue(name), settled = result && result.data && result.data[name + "-done"];
    q.open = Math.max(0, q.open - 1);
    if (settled || q.open) return; // a newer question carries the presses of this one
    const left = q.list.filter((p) => p.n > q.sent);
    if (left.length === q.list.length) return;
    q.list = left;
    if (result && result.error) {
      set("message", { children: "The server did not answer, so what was pressed last is not done. Press again.",
        is_open: true, icon: "danger" });
    }
    if (after.has(name)) after.get(name)(read(name, "data"), left);
  }
  // Presses are about something (a fit, a neuron): once another is chosen, those that wait are not for it.
  function about(name, what) {
    const q = queue(name), other = ![undefined, null].includes(q.of) && !same(q.of, what);
    q.of = what;
    return other ? fresh(name) : none();
  }
  // A page that is opened anew has no presses of the last time.
  function fresh(name) {
    queue(name).list = [];
    if (after.has(name)) after.get(name)(read(name, "data"), []);
    return none();
  }
  // A button that opens and closes something: two presses that come as one leave it as it was.
  const clicked = new Map();
  function toggle(id, clicks, open) {
    const seen = clicked.get(id) || 0, now = clicks || 0;
    clicked.set(id, now);
    return (now > seen ? now - seen : now) % 2 ? !open : none(); // a page that was opened anew counts from nothing
  }
  const pressed = (name) => queue(name).list;
  const mergeAnswer = (name, merge) => merges.set(name, merge);
  const afterPress = (name, then) => after.set(name, then);

  // data-press: the queue; data-kind: the kind; data-with: what else the press says, as JSON; data-reads: entries that are
  // read at the press, as JSON {name: [id, property]}.
  on("click", "[data-press]", (button) => {
    if (button.disabled) return;
    const reads = Object.entries(JSON.parse(button.dataset.reads || "{}"));
    const values = Object.fromEntries(reads.map(([key, [id, name]]) => [key, read(id, name)]));
    press(button.dataset.press, { kind: button.dataset.kind, ...JSON.parse(button.dataset.with || "{}"), ...values });
  });

  register("attune", { about, afterPress, fresh, mergeAnswer, press, pressed, pressesAsked, pressesResolved, settle, toggle });
})();
