// Attention page: a pattern of attention drawn on a small grid of the prompt, queries down and keys across.
(function () {
  const { byId, none, register, save, set } = window.dash_clientside.attune_kit;
  const SIDE = 300, MOST = 60, BLOCK = 120; // pixels of the grid, tokens that can be told apart on it, and of the largest block
  const DRAWN = "#D55E00"; // as the frame of the opened head

  let cursor = null; // the cell that the keyboard is on: painting draws the grid anew, and must not lose it
  let grid = null; // the one that stands there: another one is that of a page that was opened anew
  let words = null, length = null; // the prompt that the cursor belongs to, and how many tokens the painted cells

  const key = (q, k) => q + "," + k;
  const pairs = (cells) => Array.from(cells, (cell) => cell.split(",").map(Number)).sort((a, b) => a[0] - b[0] || a[1] - b[1]);

  /** Cells of a pattern that has a name, for `n` tokens; `at` is the chosen key. */
  function named(name, n, at) {
    const cells = [];
    for (let q = 1; q < n; q += 1) {
      if (name === "diagonal") cells.push([q, q]);
      if (name === "previous") cells.push([q, q - 1]);
      if (name === "first") cells.push([q, 0]);
      if (name === "column" && at !== null && q > at) cells.push([q, at]);
      if (name === "block") for (let k = Math.max(1, n - Math.min(BLOCK, Math.ceil(n / 3))); k <= q; k += 1) cells.push([q, k]);
    }
    // Where a query sees nothing but what is drawn, the row tells no head apart; the server says so if that is all.
    return cells;
  }

  function paint(canvas, labels, cells, cursor) {
    const shown = Math.min(MOST, labels.length), from = labels.length - shown, size = SIDE / shown;
    const style = getComputedStyle(canvas), ink = canvas.getContext("2d"), scale = window.devicePixelRatio || 1;
    canvas.width = SIDE * scale; canvas.height = SIDE * scale;
    ink.scale(scale, scale);
    ink.clearRect(0, 0, SIDE, SIDE);
    for (let q = 0; q < shown; q += 1) {
      for (let k = 0; k <= q; k += 1) {
        ink.fillStyle = cells.has(key(q + from, k + from)) ? DRAWN : style.getPropertyValue("--bs-border-color");
        ink.fillRect(k * size + 0.5, q * size + 0.5, size - 1, size - 1);
      }
    }
    if (cursor) {
      ink.strokeStyle = style.color; ink.lineWidth = 2;
      ink.strokeRect((cursor[1] - from) * size + 1, (cursor[0] - from) * size + 1, size - 2, size - 2);
    }
  }

  /** The grid for the prompt that stands there, with the drawn cells on it. */
  function drawing(prompt, drawn) {
    const canvas = byId("drawn-canvas"), says = byId("drawn-at");
    if (!canvas || !prompt) return none();
    const { labels } = prompt, cells = new Set((drawn || []).map(([q, k]) => key(q, k)));
    const shown = Math.min(MOST, labels.length), from = labels.length - shown;
    const now = labels.join("\n");
    if (now !== words) { words = now; cursor = null; }
    let stroke = null; // whether a stroke sets or clears
    const painted = () => {
      // What was painted is no pattern of the list any more.
      set("drawn-named", { value: null });
      save("drawn-cells", pairs(cells));
    };
    const draw = () => paint(canvas, labels, cells, cursor);
    const say = (q, k) => {
      says.textContent = k > q ? "A key that comes after its query cannot be seen."
        : q + " “" + labels[q] + "” looks at " + k + " “" + labels[k] + "”";
    };
    const cellOf = (event) => {
      const box = canvas.getBoundingClientRect();
      const along = (x, side) => Math.min(shown - 1, Math.max(0, Math.floor((x / side) * shown))) + from;
      return [along(event.clientY - box.top, box.height), along(event.clientX - box.left, box.width)];
    };
    let last = null; // the cell that the stroke was at: a quick one passes over cells without an event on them
    const put = ([q, k]) => {
      say(q, k);
      if (stroke === null) return;
      const [a, b] = last || [q, k], steps = Math.max(1, Math.abs(q - a), Math.abs(k - b));
      for (let n = 0; n <= steps; n += 1) {
        const row = Math.round(a + ((q - a) * n) / steps), column = Math.round(b + ((k - b) * n) / steps);
        if (column > row) continue;
        if (stroke) cells.add(key(row, column)); else cells.delete(key(row, column));
      }
      last = [q, k];
      draw();
    };
    canvas.onpointerdown = (event) => {
      const [q, k] = cellOf(event);
      stroke = !cells.has(key(q, k));
      last = null;
      if (canvas.setPointerCapture) canvas.setPointerCapture(event.pointerId);
      put([q, k]);
    };
    canvas.onpointermove = (event) => put(cellOf(event));
    canvas.onpointerup = canvas.onpointercancel = () => {
      if (stroke === null) return;
      stroke = null;
      painted();
    };
    canvas.onkeydown = (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step && event.key !== " ") return;
      event.preventDefault();
      const [q, k] = cursor || [from, from];
      if (step) {
        const down = Math.min(labels.length - 1, Math.max(from, q + step[0]));
        cursor = [down, Math.min(down, Math.max(from, k + step[1]))];
        say(...cursor);
      } else {
        cursor = [q, k];
        if (cells.has(key(q, k))) cells.delete(key(q, k)); else cells.add(key(q, k));
        painted();
      }
      draw();
    };
    byId("drawn-long").textContent = from ? "The last " + shown + " of " + labels.length + " tokens; the patterns of the list go over all." : "";
    draw();
    return none();
  }

  /** A named pattern, made again for each prompt and chosen key; what was painted, for a prompt as long alone. */
  function pattern(name, prompt, at, drawn) {
    if (!prompt) return none();
    // What an address has drawn stays for its own prompt, whichever was there before.
    if (grid !== byId("drawn-canvas")) { grid = byId("drawn-canvas"); length = null; }
    const n = prompt.labels.length, other = length !== null && length !== n;
    length = n;
    if (!name) return other && drawn && drawn.length ? [] : none();
    const cells = name === "none" ? [] : named(name, n, at === undefined ? null : at);
    return JSON.stringify(cells) === JSON.stringify(drawn) ? none() : cells;
  }

  register("attune", { drawing, pattern });
})();
