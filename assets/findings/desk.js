// What the Findings page knows of the open board, and how it stays the same as the server's: each item as the server has
// it (`base`) and what was typed since (`draft`, by field). Fields are merged one by one, so that two people who write in
// different fields of one finding do not meet; where they do, both versions are kept until somebody has chosen.
(function () {
  const { register, same } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const REST = 500, MOST = 1200; // ms after a keystroke, and after the first one that is not saved
  const AGAIN = 3000, OFTEN = 2000, SELDOM = 10000;

  /** board, boards, items (in order), pins, checks; `stale` by pin. */
  const desk = { board: null, boards: [], items: [], pins: {}, checks: {}, check: null, stale: {} };
  let writes = 0, polling = null, host = null;
  let turn = Promise.resolve(), ahead = 0; // ahead: moves that stand here and that the server does not know yet

  const find = (id) => desk.items.find((it) => it.base.id === id);
  const value = (it, field) => (field in it.draft ? it.draft[field] : it.base.body[field]);
  const body = (it) => ({ ...it.base.body, ...it.draft });
  const dirty = (it) => Object.keys(it.draft).length > 0;
  const fresh = (base) => ({ base, draft: {}, saving: false, since: 0, timer: null, conflict: null, refused: null, gone: false });

  // ---- drafts that could not be sent while the page was left ----
  const KEPT = "attune-draft-";
  const storage = (act) => { try { return act(localStorage); } catch { return null; } };
  const keep = (it) => storage((s) => s.setItem(KEPT + it.base.id,
    JSON.stringify({ base: it.base.body, draft: it.draft, fields: it.conflict ? it.conflict.fields : [] })));
  const forget = (it) => storage((s) => s.removeItem(KEPT + it.base.id));
  function recall(it) {
    const text = storage((s) => s.getItem(KEPT + it.base.id));
    if (!text) return;
    forget(it);
    const { base, draft, fields } = JSON.parse(text), remote = it.base;
    it.base = { ...it.base, body: base, version: remote.version - 1 };
    Object.keys(draft).forEach((field) => { if (!same(draft[field], remote.body[field])) it.draft[field] = draft[field]; });
    const open = (fields || []).filter((field) => field in it.draft);
    if (open.length) it.conflict = { fields: open }; // the page was left before somebody had chosen
    receive(it, remote);
    if (dirty(it)) plan(it);
  }

  // ---- what comes from the server ----
  /** Take what another has made of an item; true where both have written in one field. */
  function receive(it, remote) {
    if (remote.version < it.base.version) return false;
    const was = it.base.body;
    const both = Object.keys(it.draft).filter((field) => !same(remote.body[field], was[field]) && !same(remote.body[field], it.draft[field]));
    Object.keys(it.draft).forEach((field) => { if (same(remote.body[field], it.draft[field])) delete it.draft[field]; });
    it.base = remote;
    if (both.length) it.conflict = { fields: [...new Set([...both, ...((it.conflict || {}).fields || [])])] };
    return both.length > 0;
  }
  /** Items in the server's order, but for moves that it does not know yet: what is new stands behind what it follows. */
  function inOrder(items) {
    if (!ahead) return items;
    const there = new Set(items), order = desk.items.filter((it) => there.has(it)), known = new Set(order);
    items.forEach((it, i) => { if (!known.has(it)) order.splice(i ? order.indexOf(items[i - 1]) + 1 : 0, 0, it); });
    return order;
  }
  function take(content) {
    desk.boards = content.boards;
    desk.check = content.check || null;
    const listed = content.boards.find((b) => desk.board && b.id === desk.board.id);
    if (!content.items) { if (listed) desk.board = listed; return; }
    const known = new Map(desk.items.map((it) => [it.base.id, it]));
    const items = content.items.map((base) => {
      const it = known.get(base.id);
      known.delete(base.id);
      if (!it) { const made = fresh(base); recall(made); return made; }
      it.gone = false;
      if (!it.saving) receive(it, base); // else this may be half of what is on its way
      return it;
    });
    // What I am writing on stays in sight, also where another has removed it.
    known.forEach((it) => { if (dirty(it)) { it.gone = true; items.splice(Math.min(desk.items.indexOf(it), items.length), 0, it); } });
    Object.assign(desk, { board: content.board, items: inOrder(items), pins: content.pins, checks: content.checks });
  }
  /** Ask for what is new. `whole`: also what has not changed. */
  async function refresh(whole = false) {
    if (!desk.board) return;
    const before = writes, of = desk.board.id;
    const content = await F.ask("/boards/" + of + (whole ? "" : "?stamp=" + desk.board.stamp));
    if (!desk.board || desk.board.id !== of) return;
    if (content.gone) { F.lost(content.gone); return; }
    if (before !== writes) return; // asked before I wrote: what it says is older than what stands here
    take(content);
    F.draw();
  }
  function poll() {
    clearTimeout(polling);
    polling = setTimeout(async () => {
      if (!host || !host.isConnected) return;
      try { await refresh(); F.say("connection", ""); } catch (error) { F.say("connection", error.message); }
      if (!desk.board) return;
      poll();
    }, document.hidden ? SELDOM : OFTEN);
  }
  /** Open a board in an element; with none named, that of the newest change. */
  async function load(where, wanted) {
    flush();
    host = where;
    const { boards } = await F.ask("/boards");
    const chosen = wanted || (boards[0] && boards[0].id);
    Object.assign(desk, { board: null, boards, items: [], pins: {}, checks: {}, check: null, stale: {} });
    if (!chosen) return;
    const content = await F.ask("/boards/" + chosen);
    if (content.gone) throw Object.assign(new Error(content.gone), { refused: true });
    desk.board = content.board;
    take(content);
    poll();
  }

  // ---- what goes to the server ----
  /** A write beside the texts: ask, then see what the board looks like now. `answered` is called between the two. */
  async function write(path, data = {}, answered = null) {
    try {
      return await F.ask(path, data);
    } finally {
      writes += 1;
      if (answered) answered();
      await refresh(true).catch(() => {});
    }
  }
  /** Do what builds on what was done before: a move names the item above it, and undo takes back the newest change. */
  function inTurn(act) {
    turn = turn.then(act).catch((error) => F.say("action", error.message));
  }
  /** Tell the server of a move that the page shows already; until it has answered, the order that it gives is older. */
  function sendMove(id, after) {
    ahead += 1;
    inTurn(() => write("/items/" + id + "/move", { after }, () => { ahead -= 1; }));
  }
  function edit(it, field, text) {
    // What is on its way is going to be the base, so going back to the old one is a change as well.
    if (!it.saving && same(text, it.base.body[field] === undefined ? "" : it.base.body[field])) delete it.draft[field];
    else it.draft[field] = text;
    it.refused = null;
    plan(it);
    F.status();
  }
  function plan(it, wait = REST) {
    const now = Date.now();
    it.since = it.since || now;
    clearTimeout(it.timer);
    it.timer = setTimeout(() => save(it), Math.max(0, Math.min(wait, it.since + MOST - now)));
  }
  async function save(it, leaving = false) {
    clearTimeout(it.timer);
    if (it.saving || it.conflict || it.refused || it.gone || !dirty(it)) { if (!dirty(it)) it.since = 0; return; }
    const sent = { ...it.draft };
    it.saving = true;
    F.status();
    try {
      const answer = await F.ask("/items/" + it.base.id + "/change", { body: body(it), version: it.base.version }, leaving);
      writes += 1;
      if (answer.conflict) receive(it, answer.conflict);
      else {
        it.base = answer.item;
        // Only I have changed the board since I last looked: there is nothing else to be fetched.
        const here = find(it.base.id) === it; // another board may be open by now
        if (here && answer.stamp === desk.board.stamp + 1) desk.board.stamp = answer.stamp;
        if (here && (it.base.body.pins || []).some((pin) => !desk.pins[pin])) await refresh(true);
        Object.keys(sent).forEach((field) => { if (same(it.draft[field], sent[field])) delete it.draft[field]; });
      }
      it.since = 0;
      if (it.conflict) keep(it); else forget(it); // what nobody has chosen yet outlives this page and this board
      if (dirty(it)) plan(it);
    } catch (error) {
      it.since = 0;
      if (error.refused) it.refused = { text: error.message, field: error.field };
      else { F.say("connection", error.message); plan(it, AGAIN); it.since = Date.now() + AGAIN; }
    } finally {
      it.saving = false;
      F.draw();
    }
  }
  /** Save all that can be saved, and wait for it; at most three seconds. */
  async function saveAll() {
    for (let n = 0; n < 30; n += 1) {
      const open = desk.items.filter((it) => it.saving || (dirty(it) && !it.conflict && !it.refused && !it.gone));
      if (!open.length) return;
      open.forEach((it) => save(it));
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }
  /** Send what is not saved at once; what cannot be sent any more is kept in this browser until the board is opened again. */
  function flush() {
    desk.items.filter(dirty).forEach((it) => { keep(it); save(it, true); });
  }
  window.addEventListener("pagehide", flush);
  document.addEventListener("visibilitychange", () => { if (document.hidden) flush(); else if (desk.board) { refresh().catch(() => {}); poll(); } });

  // ---- two versions of one text ----
  const joined = (mine, theirs) => (Array.isArray(mine) || Array.isArray(theirs)
    ? [...new Set([...(theirs || []), ...(mine || [])])] : [theirs, mine].filter(Boolean).join("\n\n"));
  /** `choice`: "mine", "theirs" or "both". */
  function settle(it, choice) {
    it.conflict.fields.forEach((field) => {
      const theirs = it.base.body[field], mine = it.draft[field];
      if (choice === "theirs") delete it.draft[field];
      else if (choice === "both") it.draft[field] = field === "claim" || field === "title" ? joined(mine, theirs).replace("\n\n", " / ") : joined(mine, theirs);
    });
    it.conflict = null;
    it.since = 0;
    forget(it);
    if (dirty(it)) save(it);
    F.draw();
  }
  /** What is to be said of all that is not saved. */
  function unsaved() {
    const refused = desk.items.find((it) => it.refused), gone = desk.items.find((it) => it.gone);
    if (desk.items.some((it) => it.conflict)) return "not saved: there are two versions";
    if (refused) return "not saved: " + refused.refused.text;
    if (gone) return "not saved: somebody has removed it";
    return desk.items.some((it) => it.saving || dirty(it)) ? "saving" : "saved";
  }

  register("attune_findings", { body, desk, dirty, edit, find, flush, inTurn, load, refresh, save, saveAll, sendMove, settle, unsaved,
    value, write });
})();
