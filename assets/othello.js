// Othello boards in the browser: drawn once, then only changed; pressed, walked by arrow keys, lit together. All text
// goes in through textContent or attributes.
(function () {
  const { byId, element, none, on, read, register, set } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;
  const NAMES = Array.from({ length: 64 }, (_, s) => "ABCDEFGH"[s >> 3] + ((s & 7) + 1));
  // The scales of the figures (components/kit/png.py, components/kit/theme.py), in equal steps.
  const SEQUENTIAL = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#fee838"];
  const DIVERGING = ["#b35806", "#f1a340", "#f7f7f7", "#67a9cf", "#1f4e8c"];

  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  function colour(scale, t) {
    const x = Math.max(0, Math.min(1, t)) * (scale.length - 1), i = Math.min(scale.length - 2, Math.floor(x));
    const a = rgb(scale[i]), b = rgb(scale[i + 1]), f = x - i;
    return a.map((v, k) => Math.round(v + (b[k] - v) * f));
  }
  // Text on a square is black or white, whichever has more contrast to its colour: at least 4.5 to any.
  const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
    const v = c[i] / 255;
    return sum + part * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ink = (c) => (luminance(c) > 0.179 ? "#000000" : "#ffffff");

  function build(host) {
    const corner = (text) => element("span", { class: "attune-edge", "aria-hidden": "true" }, text);
    const playable = !!host.dataset.queue;
    const squares = NAMES.map((_, s) => [s % 8 === 0 ? corner("ABCDEFGH"[s / 8]) : null,
      element(playable ? "button" : "div", { class: "attune-square", "data-square": s,
        ...(playable ? { type: "button", tabindex: s === 19 ? 0 : -1 } : { role: "img" }) },
      element("span", { class: "attune-disc" }), element("span", { class: "attune-square-text" }))]);
    host.replaceChildren(...["", 1, 2, 3, 4, 5, 6, 7, 8].map(corner), ...squares.flat().filter(Boolean),
      element("div", { class: "attune-legend" }));
  }

  function draw(host, data) {
    if (!host.querySelector(".attune-square")) build(host);
    const legal = new Set(data.legal), wrong = new Set(data.wrong), selected = new Set(data.selected);
    host.querySelectorAll(".attune-square").forEach((cell, s) => {
      const disc = data.discs[s], value = data.heat ? data.heat[s] : null;
      cell.classList.toggle("attune-black", disc === 1);
      cell.classList.toggle("attune-white", disc === 2);
      cell.classList.toggle("attune-legal", legal.has(s));
      cell.classList.toggle("attune-wrong", wrong.has(s));
      cell.classList.toggle("attune-last", data.last === s);
      cell.classList.toggle("attune-selected", selected.has(s));
      cell.firstChild.style.opacity = data.shades ? data.shades[s] : 1;
      if (value === null || value === undefined) {
        cell.style.removeProperty("--heat"); cell.style.removeProperty("--ink");
      } else {
        const c = data.kind === "diverging" ? colour(DIVERGING, 0.5 + value / data.max / 2) : colour(SEQUENTIAL, value / data.max);
        cell.style.setProperty("--heat", "rgb(" + c.join(",") + ")");
        cell.style.setProperty("--ink", ink(c));
      }
      cell.lastChild.textContent = data.texts ? data.texts[s] : "";
      cell.title = data.labels[s];
      cell.setAttribute("aria-label", data.labels[s]);
    });
    const legend = host.querySelector(".attune-legend");
    const key = data.heat ? data.kind + data.max + data.legend : "";
    if (legend.dataset.key !== key) {
      legend.dataset.key = key;
      legend.replaceChildren();
      if (key) {
        const percent = data.legend.includes("%") || data.legend.includes("points");
        const say = (v) => (percent ? Math.round(100 * v) + (data.legend.includes("%") ? " %" : "") : String(Number(v.toPrecision(2))));
        const scale = data.kind === "diverging" ? DIVERGING : SEQUENTIAL;
        legend.append(element("span", {}, say(data.kind === "diverging" ? -data.max : 0)),
          element("i", { style: { background: "linear-gradient(90deg," + scale.join(",") + ")" } }),
          element("span", {}, say(data.max) + " · " + data.legend));
      }
    }
  }

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

  register("attune_othello", { drawAll, slide, enter, story, line, gauge });
})();
