// The Attention page in the browser: the head's heatmap, clicks in it, and the strips of tokens.
(function () {
  const { ALONG, byId, element, none, register, save, unpack, walk } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;

  // The matrix of a head: its words come with it (components/qk/token_matrix.py), its numbers are unpacked here. Gives
  // the figure, and what draws the same on the server.
  async function matrix(packed, skipFirst, templates) {
    if (!packed) return [none(), none()];
    const [frame] = packed.figure.data, { layout } = packed.figure, { ref } = packed;
    // Plain rows: a figure is a value, which goes into JSON like any other.
    const z = (await unpack(packed)).map((row) => Array.from(row)), skip = skipFirst && !packed.signed;
    let top = packed.max;
    if (skip && packed.size > 2) {
      // The sink would otherwise take the whole scale; the rest is drawn on a scale of its own.
      z.forEach((row, i) => { row[0] = NaN; if (i === 0) row.fill(NaN); });
      top = 0;
      z.forEach((row) => row.forEach((v) => { if (v > top) top = v; }));
      top = top || packed.max;
    }
    const options = packed.signed ? ref.options : { ...ref.options, skip_first: Boolean(skip) };
    const template = templates[attune.currentTheme()], scales = (template.layout || {}).colorscale;
    const colours = packed.signed && scales ? { colorscale: scales.diverging } : {};
    return [{
      data: [{ ...frame, ...colours, y: frame.x, z: z, zmin: packed.signed ? -top : 0, zmax: top }],
      layout: { ...layout, template },
    }, { ...ref, options }];
  }

  function cellClick(click, packed) {
    if (!click || !packed) return [none(), none()];
    const point = click.points[0], ticks = packed.figure.data[0].x;
    const query = ticks.indexOf(point.y) * packed.pool, key = ticks.indexOf(point.x) * packed.pool;
    return key > query ? [none(), none()] : [query, key];
  }

  // Dash does not pass on the customdata of a heatmap's cell, so the cell is looked up in the figure.
  function headClick(click, figure) {
    if (!click || !click.points.length || !figure) return none();
    const row = figure.data[0].customdata[click.points[0].y];
    const data = row && row[click.points[0].x];
    return data && data[1] >= 0 ? { layer: data[0], head: data[1] } : none(); // an MLP has no attention to open
  }

  // ---- token strips ----
  function strip(host, prompt, kind, pick) {
    const labels = prompt.labels;
    // What the token card needs to open on a token of this prompt.
    Object.assign(host.dataset, { tokenText: prompt.text || "", tokenChat: prompt.chat ? "1" : "", tokenGenerate: prompt.generate || 0 });
    const signature = labels.join("\u0001");
    if (host.dataset.signature === signature) return;
    host.dataset.signature = signature;
    host.replaceChildren(...labels.map((label, i) => element("button", { type: "button", class: "attune-token attune-tok",
      "data-token-position": i, "data-token-soft": "", "data-index": i, tabindex: i === 0 ? 0 : -1,
      "aria-label": kind + " " + i + ": " + label }, label)));
    host.onclick = (event) => {
      const button = event.target.closest("button");
      if (button) pick(Number(button.dataset.index));
    };
  }
  ["#query-strip", "#key-strip"].forEach((strip) => walk(strip, "button", { ...ALONG, Home: -1e6, End: 1e6 }));

  function shade(host, row, query, key, hideFirst) {
    let top = 0;
    if (row) row.forEach((v, j) => { if (j <= query && !(hideFirst && j === 0) && v > top) top = v; });
    Array.from(host.children).forEach((button, j) => {
      const visible = j <= query;
      const value = row && visible ? row[j] : 0;
      const hidden = hideFirst && j === 0;
      const strength = top > 0 && !hidden ? Math.sqrt(value / top) : 0;
      button.style.setProperty("--shade", strength.toFixed(3));
      button.classList.toggle("attune-strong", strength > 0.924);
      button.classList.toggle("attune-masked", !visible);
      button.classList.toggle("attune-picked", j === key);
      button.title = visible ? (100 * value).toFixed(1) + " % of the attention" : "masked: comes after the query";
    });
  }

  async function tokens(prompt, packed, query, key, hideFirst) {
    const asks = byId("query-strip"), gets = byId("key-strip");
    if (!asks || !gets || !prompt) return none();
    strip(asks, prompt, "query token", (i) => { save("key", null); save("query", i); });
    strip(gets, prompt, "key token", (i) => save("key", i));
    const same = packed && packed.cells && packed.tokens === prompt.labels.length;
    const rows = same ? await unpack(packed) : null;
    const rowOf = (q) => {
      if (!rows) return null;
      if (packed.pool === 1) return rows[q];
      const pooled = rows[Math.floor(q / packed.pool)];
      return Float32Array.from(prompt.labels, (_, j) => pooled[Math.floor(j / packed.pool)] || 0);
    };
    const show = (q) => {
      shade(gets, rowOf(q), q, key, hideFirst);
      Array.from(asks.children).forEach((b, i) => {
        b.classList.toggle("attune-picked", i === query);
        b.classList.toggle("attune-hovered", i === q && q !== query);
        b.tabIndex = i === query ? 0 : -1;
      });
    };
    show(query);
    asks.onmouseover = (event) => {
      const button = event.target.closest("button");
      if (button) show(Number(button.dataset.index));
    };
    asks.onmouseleave = () => show(query);
    return none();
  }

  // What is made of the prompt stands below the first screen, so the press brings it into view.
  function showMade(clicks) {
    const box = byId("made-box");
    if (!clicks || !box) return none();
    box.hidden = false;
    box.scrollIntoView({ block: "center" });
    return false;
  }

  // Who comes by a link to one of these tabs, or reloads it, comes to its picture, not to what stands above it.
  const BELOW = ["both", "steered"];
  let came = null; // the strip of the page that this was done for
  function arrive(question, tab) {
    const strip = document.querySelector(".nav-tabs");
    if (!question || !strip || strip === came) return none();
    came = strip;
    if (BELOW.includes(tab) && window.scrollY === 0) requestAnimationFrame(() => strip.scrollIntoView({ block: "start" }));
    return none();
  }

  register("attune", { arrive, cellClick, headClick, matrix, showMade, tokens });
})();
