// The Findings page as a whole: boards at the left, the open one beside them, what is saved, and who changes it meanwhile.
(function () {
  const { byId, element, local, none, register, set } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  let at = "", said = {}, parts = null;

  // ---- what is said ----
  /** Say a sentence about an action or the connection; an empty one takes it away. */
  function say(what, text) {
    if (said[what] === text) return;
    said[what] = text;
    if (what === "action" && text) F.announce(text);
    status();
  }
  function status() {
    if (!parts || !parts.state) return;
    const state = F.desk.board ? F.unsaved() : "";
    parts.state.textContent = said.connection && state !== "saved" ? "not saved: " + said.connection : state;
    parts.state.dataset.state = state.split(":")[0];
    const why = parts.state.textContent.startsWith("not saved") ? parts.state.textContent : "";
    const line = said.connection || why || said.action || "";
    parts.action.textContent = line;
  }

  // ---- boards ----
  function sideRow(board) {
    const open = F.desk.board && board.id === F.desk.board.id;
    return F.button([element("span", { class: "fnd-side-title", dir: "auto" }, board.title),
      element("small", {}, (board.kind === "tour" ? "tour · " : "") + F.ago(board.changed))], () => show(board.id),
    { class: "fnd-side-row", "aria-current": open ? "true" : null, "data-board": board.id });
  }
  /** Open a board (the newest by default); where the server does not answer, try again a few times. */
  async function show(board, tries = 4) {
    try {
      await sendName();
      await F.load(parts.host, board);
      said = {};
      at = "";
      if (F.desk.board) window.dash_clientside.attune_pin.useBoard(F.desk.board.id);
      frame();
    } catch (error) {
      if (tries > 1 && !error.refused) {
        await new Promise((resolve) => { setTimeout(resolve, 1500); });
        await show(board, tries - 1);
      } else lost(error.message);
    }
  }
  async function newBoard(kind) {
    try {
      const { board } = await F.ask("/boards", { title: kind === "tour" ? "New tour" : "New board", kind });
      await show(board.id);
      parts.title.focus();
      parts.title.select();
    } catch (error) { say("action", error.message); }
  }
  async function copyBoard() {
    try { await show((await F.ask("/boards/" + F.desk.board.id + "/copy", {})).board.id); } catch (error) { say("action", error.message); }
  }
  async function dropBoard() {
    const { board, items } = F.desk, count = items.length + (items.length === 1 ? " item" : " items");
    const sure = await F.dialog("Delete “" + board.title + "”?", element("p", {}, "The board has " + count + ". This cannot be undone; a bundle of it can be opened again."),
      [["Delete the board", true]]);
    if (!sure) return;
    try { await F.ask("/boards/" + board.id + "/drop", {}); await show(""); } catch (error) { say("action", error.message); }
  }
  let naming = null, name = null; // name: what is written and not sent yet
  function nameBoard() {
    clearTimeout(naming);
    name = { board: F.desk.board.id, title: parts.title.value };
    naming = setTimeout(sendName, 500);
  }
  async function sendName() {
    if (!name) return;
    const { board, title } = name;
    name = null;
    try {
      await F.write("/boards/" + board + "/title", { title });
      parts.title.setAttribute("aria-invalid", "false");
      say("action", "");
    } catch (error) { parts.title.setAttribute("aria-invalid", "true"); say("action", error.message); }
  }
  // A page that is left sends what it still can, and waits for no answer.
  window.addEventListener("pagehide", () => {
    if (name) F.ask("/boards/" + name.board + "/title", { title: name.title }, true).catch(() => {});
    name = null;
  });

  // ---- items ----
  /** A new item behind another (by default the one that was last in use), ready to be written. */
  async function addItem(kind, body, after = at || null) {
    const board = F.desk.board.id;
    const there = after === null || after === "" || F.find(after) ? after : null;
    const { item } = await F.write("/boards/" + board + "/items", { kind, body, after: there });
    current(item.id);
    return item;
  }
  const EMPTY = { finding: { claim: "", pins: [] }, note: { note: "" }, section: { title: "" }, step: { note: "", address: "" } };
  async function add(kind) {
    try { F.writeOn((await addItem(kind, EMPTY[kind])).id); } catch (error) { say("action", error.message); }
  }
  function step(direction) {
    const board = F.desk.board.id;
    F.inTurn(async () => {
      await F.saveAll(); // the newest change is the one that is being written
      say("action", (await F.write("/boards/" + board + "/" + direction)).text);
    });
  }
  /** The item that is in use: new ones come behind it, and the address names it. */
  function current(id) {
    if (at === id) return;
    at = id;
    document.querySelectorAll(".fnd-item").forEach((e) => e.classList.toggle("fnd-current", e.dataset.item === id));
    address();
  }
  function address() {
    if (!F.desk.board || !parts.host.isConnected) return;
    set("address", { data: window.dash_clientside.attune.address(F.desk.board.id, at, ["board", "item"]) });
  }
  const talk = () => local("/findings/talk?board=" + F.desk.board.id + (at ? "&at=" + at : ""));
  const present = () => { F.flush(); window.location.assign(talk()); };

  // ---- the page ----
  let marked = true;
  try { marked = localStorage.getItem("attune-numerals") !== "off"; } catch { /* private window */ }
  function toggleMarks() {
    marked = !marked;
    try { localStorage.setItem("attune-numerals", marked ? "on" : "off"); } catch { /* private window */ }
    parts.host.classList.toggle("fnd-unmarked", !marked);
    say("action", marked ? "Typed numbers are marked." : "Typed numbers are not marked.");
  }
  function bar() {
    const tour = F.desk.board.kind === "tour";
    const kinds = tour ? [["step", "Step"], ["finding", "Finding"]] : [["finding", "Finding"], ["note", "Note"], ["section", "Section"]];
    parts.title = element("input", { class: "fnd-title", "aria-label": "Title of the board", maxlength: 200, value: F.desk.board.title, dir: "auto" });
    parts.title.addEventListener("input", nameBoard);
    parts.state = element("span", { class: "fnd-state", role: "status" });
    parts.action = element("p", { class: "fnd-action" });
    parts.progress = element("div", { class: "fnd-progress" });
    const more = F.menu("More on this board", [["Duplicate", copyBoard], ["Typed numbers: mark or not", toggleMarks], ["Keys", F.showKeys], ["Delete …", dropBoard]]);
    return element("div", { class: "fnd-bar" },
      element("div", { class: "fnd-bar-row" }, parts.title, parts.state,
        F.button("↶", () => step("undo"), { "aria-label": "Undo", title: "Undo (Ctrl+Z)" }), F.button("↷", () => step("redo"), { "aria-label": "Redo", title: "Redo (Ctrl+Shift+Z)" }),
        element("span", { class: "fnd-adds", role: "group", "aria-label": "Add" }, kinds.map(([kind, words]) => F.button("+ " + words, () => add(kind), { "data-add-item": kind }))),
        F.button("Still true?", () => F.check(F.desk.items), { title: "Compute every view of the board again" }),
        tour ? element("a", { class: "attune-button", href: local("/?tour=" + F.desk.board.id), "data-tour": F.desk.board.id }, "Walk through")
          : element("a", { class: "attune-button", href: talk(), "data-present": "" }, "Present"),
        F.handOver ? F.button("Hand over", () => F.handOver(F.desk.board)) : null, more),
      element("div", { class: "fnd-words" }, parts.progress, parts.action));
  }
  const INVITE = [
    ["A finding is one claim with the views that it rests on, each with its control, its settings and its date.", null],
    ["Pin a view: press Pin on a card of any page, or the key p while the pointer is over it.", "/attention"],
    ["Say what it means in one sentence; take numbers from the list, so that they follow their result.", null],
    ["Present the board as a talk, hand it over as a page or a notebook, and ask later: still true?", null],
  ];
  const invite = (head) => element("div", { class: "fnd-empty" }, element("h2", {}, head), element("ol", {}, INVITE.map(([words, path]) =>
    element("li", {}, words + " ", path ? element("a", { href: local(path) }, "Open the Attention page") : null))),
  element("p", {}, element("a", { href: local("/") }, "Three tours"), " show what there is to be found, on the model that is loaded."));
  function frame() {
    const { board } = F.desk;
    parts.list = element("ol", { class: "fnd-items", "aria-label": "Items of the board" });
    parts.side = element("div", { class: "fnd-side-list" });
    parts.empty = element("div", {});
    const none = element("div", { class: "fnd-main" }, invite("No board yet"), F.button("New board", () => newBoard("board"), { class: "attune-button attune-primary" }));
    parts.host.replaceChildren(
      element("nav", { class: "fnd-side", "aria-label": "Boards" }, element("div", { class: "fnd-side-head" }, element("h2", {}, "Boards"),
        F.menu("New", [["New board", () => newBoard("board")], ["New tour", () => newBoard("tour")], ["Open a bundle …", F.openBundle]], "+")), parts.side),
      board ? element("section", { class: "fnd-main", "aria-label": "Board" }, bar(), parts.list, parts.empty) : none,
      element("div", { id: "fnd-live", class: "visually-hidden", "aria-live": "polite" }));
    if (board) { draw(); F.stale(); } else listBoards();
    address();
  }
  function listBoards() {
    const { board, boards } = F.desk, rows = JSON.stringify([boards.map((b) => [b.id, b.title, F.ago(b.changed)]), board && board.id]);
    if (parts.rows === rows && parts.side.children.length) return;
    parts.rows = rows;
    window.dash_clientside.attune_kit.list(parts.side, boards.map(sideRow), (row) => row && row.dataset.board, (e) => e.dataset.board);
    if (!boards.length) parts.side.replaceChildren(element("p", { class: "attune-note" }, "None yet."));
  }
  /** Bring the page to what the desk knows. */
  function draw() {
    if (!parts || !parts.host.isConnected || !F.desk.board) return;
    const { board, items } = F.desk;
    if (document.activeElement !== parts.title && parts.title.value !== board.title) parts.title.value = board.title;
    listBoards();
    F.arrange(parts.list, F.elements());
    if (!items.length !== Boolean(parts.empty.children.length)) parts.empty.replaceChildren(...(items.length ? [] : [invite("Nothing stands here yet")]));
    parts.progress.replaceChildren(...F.progress());
    status();
  }
  /** The board is gone, or was never there: what was written on it and could not be saved is still shown. */
  function lost(text) {
    const words = F.desk.items.filter(F.dirty).flatMap((it) => Object.values(it.draft)).filter((draft) => typeof draft === "string");
    F.desk.board = null;
    frame();
    parts.host.querySelector(".fnd-main").replaceWith(element("div", { class: "fnd-main" }, element("p", { class: "fnd-refusal", role: "alert" }, text),
      words.length ? element("div", {}, element("p", {}, "What you wrote on it and was not saved:"), words.map((word) => element("p", { class: "fnd-kept" }, word))) : null,
      F.button("Show the newest board", () => show(""))));
  }
  /** Open what the address names (a callback of Dash, when the page is there). */
  async function open(start) {
    const host = byId("findings-host");
    if (!start || !host) return none();
    parts = { host };
    said = {};
    host.classList.toggle("fnd-unmarked", !marked);
    await show(start.board);
    at = start.item && F.find(start.item) ? start.item : "";
    const item = at && byId("item-" + at);
    if (item) { item.classList.add("fnd-current"); item.scrollIntoView({ block: "start" }); }
    address();
    return none();
  }

  register("attune_findings", { add, addItem, current, currentItem: () => at, draw, frame, isOpen: () => Boolean(parts && parts.host.isConnected && F.desk.board),
    lost, open, present, say, status, step });
})();
