// Othello boards in the browser: kept by container, pressed, walked by arrow keys, lit together. What one looks like is
// drawn by assets/frame/board.js.
(function () {
  const { byId, none, on, read, register, same, set } = window.dash_clientside.attune_kit;
  const { draw } = window.dash_clientside.attune_board;
  const attune = window.dash_clientside.attune;

  // Boards by the id of their container. The containers of a tab that is not open do not exist yet: they are drawn when
  // they come, from what is kept here.
  const kept = new Map();
  function drawAll(data) {
    if (!data) return none();
    Object.entries(data).forEach(([id, board]) => {
      kept.set(id, board);
      const host = byId(id);
      if (host) draw(host, board);
    });
    markAll();
    return none();
  }
  const watch = new MutationObserver(() => {
    document.querySelectorAll(".attune-board:empty").forEach((host) => {
      if (kept.has(host.id)) draw(host, kept.get(host.id));
    });
  });
  watch.observe(document.documentElement, { childList: true, subtree: true });

  // A board with data-edits has a second way to press a square.
  function press(cell, edit) {
    const host = cell.closest(".attune-board"), queue = host && (edit ? host.dataset.edits : host.dataset.queue);
    if (queue) attune.press(queue, { kind: edit ? "edit" : "square", square: Number(cell.dataset.square) });
  }
  on("contextmenu", ".attune-board[data-edits] button.attune-square", (cell, event) => {
    event.preventDefault();
    press(cell, true);
  });
  on("click", "button.attune-square", (cell) => press(cell, false));
  on("keydown", "button.attune-square", (cell, event) => {
    if (event.key === "Enter" && event.shiftKey && cell.parentElement.dataset.edits) {
      event.preventDefault(); // else the browser would press the button as well
      press(cell, true);
      return;
    }
    const s = Number(cell.dataset.square), row = s >> 3, column = s & 7;
    const to = { ArrowLeft: column > 0 ? s - 1 : s, ArrowRight: column < 7 ? s + 1 : s, ArrowUp: row > 0 ? s - 8 : s,
      ArrowDown: row < 7 ? s + 8 : s, Home: row * 8, End: row * 8 + 7 }[event.key];
    if (to === undefined) return;
    const target = cell.parentElement.querySelector('[data-square="' + to + '"]');
    cell.tabIndex = -1; target.tabIndex = 0; target.focus();
    event.preventDefault();
  });

  // ---- one square on all boards, and its point ----
  let lit = null;
  function light(square) {
    if (square === lit) return;
    lit = square;
    document.querySelectorAll(".attune-square-lit").forEach((e) => e.classList.remove("attune-square-lit"));
    const said = byId("oth-hover");
    if (square === null) { if (said) said.textContent = ""; point(null); return; }
    const words = [];
    document.querySelectorAll('.attune-square[data-square="' + square + '"]').forEach((e) => {
      e.classList.add("attune-square-lit");
      const host = e.closest(".attune-board");
      if (host.id.startsWith("oth-belief-")) words.push((host.getAttribute("aria-label") || "") + " " + (e.title || ""));
    });
    if (said) said.textContent = words.join("   ·   ");
    point(square);
  }
  // A figure of squares marks its traces "squares" and keeps an empty trace "lit" for the one pointed at. A point
  // in space has a z as well.
  function point(square) {
    if (!window.Plotly) return;
    document.querySelectorAll(".js-plotly-plot").forEach((plot) => {
      if (!plot.data || !plot.offsetParent) return;
      const at = plot.data.findIndex((t) => t.meta === "lit");
      if (at < 0) return;
      const source = square === null ? null
        : plot.data.find((t) => t.meta === "squares" && t.customdata && Array.from(t.customdata).includes(square));
      const i = source ? Array.from(source.customdata).indexOf(square) : -1;
      const change = { x: [i < 0 ? [] : [source.x[i]]], y: [i < 0 ? [] : [source.y[i]]] };
      if (plot.data[at].z) change.z = [i < 0 ? [] : [source.z[i]]];
      window.Plotly.restyle(plot, change, [at]);
      // What is said of the square, in the label that the pointer would show; points in space have none.
      if (change.z) return;
      if (i < 0) window.Plotly.Fx.unhover(plot);
      else window.Plotly.Fx.hover(plot, [{ curveNumber: plot.data.indexOf(source), pointNumber: i }]);
    });
  }
  ["mouseover", "focusin"].forEach((kind) => document.addEventListener(kind, (event) => {
    const cell = event.target.closest && event.target.closest(".attune-square");
    light(cell ? Number(cell.dataset.square) : null);
  }));

  // ---- what a story speaks of: its squares on the boards of its position, and its words while its game is played ----
  const TOLD = "#oth-play, #oth-belief-truth, #oth-belief-linear, #oth-belief-tpr, #oth-belief-trilinear";
  let told = new Set(), applied = null;
  function markAll() {
    document.querySelectorAll(TOLD).forEach((host) => host.querySelectorAll(".attune-square").forEach((cell, s) => {
      cell.classList.toggle("attune-told", told.has(s));
    }));
  }
  function mark(tale, game) {
    if (!game) return none();
    const here = tale && same(tale.moves, game.moves);
    if (here && tale.ply === game.ply && tale.told !== applied) {
      applied = tale.told; // once: what is edited afterwards is not the story's any more
      set("oth-edits", { data: tale.edits });
    }
    told = new Set(here && tale.ply === game.ply ? tale.squares : []);
    markAll();
    const words = byId("oth-story-text");
    if (words) words.hidden = !!tale && !here;
    return none();
  }

  // ---- what follows the game: the slider of the ply, the buttons at the ends, the list of moves ----
  // What the presses that wait will do to the cursor, as far as no rule of the game is needed to know it.
  const STEPS = { first: () => 0, undo: (ply) => Math.max(0, ply - 1), redo: (ply, n) => Math.min(n, ply + 1),
    last: (ply, n) => n };
  function ahead(at, press) {
    if (press.kind === "clear") return { ply: 0, n: 0 };
    if (!at) return null;
    if (press.kind === "ply") return { ply: Math.max(0, Math.min(at.n, press.ply)), n: at.n };
    return STEPS[press.kind] ? { ply: STEPS[press.kind](at.ply, at.n), n: at.n } : null;
  }
  const change = (id, name, value) => { if (read(id, name) !== value) set(id, { [name]: value }); };
  let taken = null; // the slider's value that is known here: set by us, or taken in as a press
  function follow(game, waiting) {
    if (!game) return;
    const at = waiting.reduce(ahead, { ply: game.ply, n: game.moves.length });
    change("oth-undo", "disabled", !!at && at.ply === 0);
    change("oth-redo", "disabled", !!at && at.ply === at.n);
    // A hand is at the slider, or a press will move the cursor again: nothing is written below it.
    if (waiting.length || (taken !== null && read("oth-ply", "value") !== taken)) return;
    taken = game.ply;
    change("oth-ply", "max", Math.max(1, game.moves.length));
    change("oth-ply", "value", game.ply);
  }
  attune.afterPress("oth-game", follow);
  function slide(value) {
    if (value === null || value === undefined || value === taken) return none();
    taken = value;
    attune.press("oth-game", { kind: "ply", ply: value }, true);
    return none();
  }
  let written = null; // the move list as it was last written by the page
  function enter(presses) {
    if (!presses) return none();
    const text = read("oth-text", "value"), notation = read("oth-notation", "value");
    written = text; // what is written in its place is the same game
    attune.press("oth-game", { kind: "paste", text, notation });
    return none();
  }
  function story(name) {
    if (name) attune.press("oth-game", { kind: "story", story: name });
    return none();
  }
  function line(text) {
    const box = byId("oth-text");
    if (box && box === document.activeElement && written !== null && box.value !== written) return none(); // being typed
    written = text;
    return text;
  }

  // A point of the game report leads to its ply; a head in the figure of an edit is chosen.
  function toPly(click) {
    const point = click && click.points[0];
    if (point && point.customdata) attune.press("oth-game", { kind: "ply", ply: point.customdata }, true);
    return none();
  }
  function head(click) {
    const place = click && click.points[0] && click.points[0].customdata;
    if (place) attune.press("oth-look", { kind: "head", block: place[0], head: place[1] });
    return none();
  }

  const clicks = { remix: 0, unmix: 0 };
  function gauge(remix, unmix, now) {
    const more = (name, n) => {
      const seen = clicks[name];
      clicks[name] = n || 0;
      return clicks[name] >= seen ? clicks[name] - seen : clicks[name];
    };
    const mixed = more("remix", remix);
    return more("unmix", unmix) ? 0 : (now || 0) + mixed;
  }

  register("attune_othello", { drawAll, slide, enter, story, line, gauge, mark, toPly, head });
})();
