// The Attention page in the browser: the head's heatmap, clicks in it, and the strips of tokens.
(function () {
  const { ALONG, byId, element, escape, none, register, save, short, unpack, walk } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;

  function poolLabels(labels, pool) {
    if (pool === 1) return labels.map((l, i) => i + " " + escape(short(l, 14)));
    const out = [];
    for (let i = 0; i < labels.length; i += pool) out.push(i + "–" + Math.min(i + pool, labels.length));
    return out;
  }

  // A head's attention (or a feature's signed part of the logits) as a figure: queries down, keys across.
  async function heatmap(packed, reading, templates, name, skipFirst) {
    if (!packed || !reading || !packed.cells) return none();
    let z = await unpack(packed), top = packed.max;
    if (skipFirst && !packed.signed && packed.size > 2) {
      // The sink would otherwise take the whole scale; the rest is drawn on a scale of its own.
      z = z.map((row, i) => { const copy = row.slice(); if (i > 0) copy[0] = NaN; return copy; });
      top = 0;
      z.forEach((row) => row.forEach((v, j) => { if (j > 0 && v > top) top = v; }));
      z[0] = z[0].slice().fill(NaN);
      top = top || packed.max;
    }
    const ticks = poolLabels(reading.labels, packed.pool);
    const signed = packed.signed;
    const hover = signed
      ? "query %{y}<br>key %{x}<br>%{z:.2f} nats<extra></extra>"
      : "query %{y}<br>key %{x}<br>attention %{z:.3f}<extra></extra>";
    const few = ticks.length <= 30;
    const axis = { type: "category", showgrid: false, zeroline: false, tickfont: { size: few ? 11 : 10 },
      nticks: few ? ticks.length : 24, ticks: "" };
    return {
      data: [{
        type: "heatmap", z: z, x: ticks, y: ticks, hovertemplate: hover, xgap: 0, ygap: 0,
        colorscale: signed
          ? [[0, "#b35806"], [0.25, "#f1a340"], [0.5, "#f7f7f7"], [0.75, "#67a9cf"], [1, "#1f4e8c"]] : "Cividis",
        zmin: signed ? -top : 0, zmax: top,
        colorbar: { title: { text: signed ? "nats" : "attention", side: "right" }, thickness: 12, outlinewidth: 0 },
      }],
      layout: {
        template: templates[attune.currentTheme()], uirevision: name + (reading.key || ""),
        margin: { l: 8, r: 8, t: 8, b: 8 },
        xaxis: Object.assign({}, axis, { title: { text: "key: token attended to" }, tickangle: few ? -60 : -45, automargin: true }),
        yaxis: Object.assign({}, axis, { title: { text: "query: token that attends" }, autorange: "reversed", automargin: true }),
      },
    };
  }

  function cellClick(click, packed) {
    if (!click || !packed) return [none(), none()];
    const point = click.points[0];
    const at = (label) => parseInt(String(label).split(/[ –]/)[0], 10);
    const query = at(point.y), key = at(point.x);
    return key > query ? [none(), none()] : [query, key];
  }

  // Dash does not pass on the customdata of a heatmap's cell, so the cell is looked up in the figure.
  function headClick(click, figure) {
    if (!click || !click.points.length || !figure) return none();
    const row = figure.data[0].customdata[click.points[0].y];
    const data = row && row[click.points[0].x];
    return data ? { layer: data[0], head: data[1] } : none();
  }

  // ---- token strips ----
  function strip(host, reading, kind, pick) {
    const labels = reading.labels;
    // What the token card needs to open on a token of this prompt.
    Object.assign(host.dataset, { tokenText: reading.text || "", tokenChat: reading.chat ? "1" : "", tokenGenerate: reading.generate || 0 });
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

  async function tokens(reading, packed, query, key, hideFirst) {
    const asks = byId("query-strip"), gets = byId("key-strip");
    if (!asks || !gets || !reading || !reading.labels) return none();
    strip(asks, reading, "query token", (i) => { save("key", null); save("query", i); });
    strip(gets, reading, "key token", (i) => save("key", i));
    const same = packed && packed.cells && packed.tokens === reading.labels.length;
    const rows = same ? await unpack(packed) : null;
    const rowOf = (q) => {
      if (!rows) return null;
      if (packed.pool === 1) return rows[q];
      const pooled = rows[Math.floor(q / packed.pool)];
      return Float32Array.from(reading.labels, (_, j) => pooled[Math.floor(j / packed.pool)] || 0);
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

  register("attune", { cellClick, headClick, heatmap, tokens });
})();
