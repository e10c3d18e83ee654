// What the browser does by itself: theme, address, token strips, the head's heatmap. No text from a model or a user
// ever becomes HTML here: labels go in through textContent, or into figures after escaping.
(function () {
  const attune = {};
  const none = () => window.dash_clientside.no_update;
  const escape = (s) => s.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (s, n) => (s.length > n ? s.slice(0, n - 1) + "…" : s);

  // ---- theme ----
  attune.currentTheme = () => document.documentElement.getAttribute("data-bs-theme") || "light";
  attune.initTheme = () => attune.currentTheme();
  attune.toggleTheme = function (clicks, templates) {
    if (!clicks) return none();
    const next = attune.currentTheme() === "dark" ? "light" : "dark";
    document.documentElement.setAttribute("data-bs-theme", next);
    try { localStorage.setItem("attune-theme", next); } catch (e) { /* private window */ }
    document.querySelectorAll(".js-plotly-plot").forEach((gd) => {
      if (window.Plotly && gd.layout) window.Plotly.relayout(gd, { template: templates[next] });
    });
    return next;
  };

  // ---- address ----
  // The names and values of a page's state become the query of the address, without reloading anything.
  attune.address = function (...values) {
    const names = values.pop();
    const query = new URLSearchParams();
    names.forEach((name, i) => {
      const value = values[i];
      if (value === null || value === undefined || value === "" || value === false) return;
      if (Array.isArray(value) && !value.length) return;
      query.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
    });
    const search = "?" + query.toString();
    if (window.location.search !== search) {
      window.history.replaceState(window.history.state, "", window.location.pathname + search);
    }
    return window.location.pathname + search;
  };
  // The way back to a page leads to the view that was left, with the model that is in use by then.
  // Behind a proxy that serves the app under a prefix, every path that the browser asks for begins with it.
  const config = document.getElementById("_dash-config");
  const prefix = (config ? JSON.parse(config.textContent).requests_pathname_prefix || "/" : "/").replace(/\/$/, "");
  attune.local = (path) => prefix + path;
  attune.bare = (path) => (prefix && path.startsWith(prefix + "/") ? path.slice(prefix.length) : path);
  const left = {};
  attune.wayBack = function (address, pathname, paths) {
    const [whole, search] = (address || "").split("?");
    const path = attune.bare(whole), here = attune.bare(pathname || "") + "/";
    if (paths.includes(path)) {
      const query = new URLSearchParams(search || "");
      query.delete("model");
      left[path] = query.size ? path + "?" + query : path;
    }
    return paths.flatMap((page) => [attune.local(left[page] || page), here.startsWith(page + "/")]);
  };
  attune.copyAddress = async function (clicks) {
    if (!clicks) return none();
    try {
      await navigator.clipboard.writeText(window.location.href);
      return "Link copied";
    } catch (e) {
      return "Copy it from the address bar"; // no clipboard: not allowed, or not over https
    }
  };

  // ---- packed cells ----
  const unpacked = new Map();
  attune.unpack = async function (packed) {
    const key = packed.cells;
    if (unpacked.has(key)) return unpacked.get(key);
    const bytes = Uint8Array.from(atob(packed.cells), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(stream).arrayBuffer();
    const flat = packed.signed ? new Int8Array(buffer) : new Uint8Array(buffer);
    const rows = [];
    const levels = packed.signed ? 127 : 255;
    for (let i = 0, at = 0; i < packed.size; i += 1) {
      const row = new Float32Array(packed.size).fill(NaN);
      for (let j = 0; j <= i; j += 1, at += 1) {
        row[j] = packed.signed && flat[at] === -128 ? NaN : (flat[at] / levels) * packed.max;
      }
      rows.push(row);
    }
    if (unpacked.size > 6) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(key, rows);
    return rows;
  };

  function poolLabels(labels, pool) {
    if (pool === 1) return labels.map((l, i) => i + " " + escape(short(l, 14)));
    const out = [];
    for (let i = 0; i < labels.length; i += pool) out.push(i + "–" + Math.min(i + pool, labels.length) );
    return out;
  }

  // A head's attention (or a feature's signed part of the logits) as a figure: queries down, keys across.
  attune.heatmap = async function (packed, reading, templates, name, skipFirst) {
    if (!packed || !reading || !packed.cells) return none();
    let z = await attune.unpack(packed), top = packed.max;
    if (skipFirst && !packed.signed && packed.size > 2) {
      // The sink would otherwise take the whole scale; the rest is drawn on a scale of its own.
      z = z.map((row, i) => { const copy = row.slice(); if (i > 0) copy[0] = NaN; return copy; });
      top = 0;
      z.forEach((row, i) => row.forEach((v, j) => { if (j > 0 && v > top) top = v; }));
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
  };

  attune.cellClick = function (click, packed) {
    if (!click || !packed) return [none(), none()];
    const point = click.points[0];
    const at = (label) => parseInt(String(label).split(/[ –]/)[0], 10);
    const query = at(point.y), key = at(point.x);
    return key > query ? [none(), none()] : [query, key];
  };

  // Dash does not pass on the customdata of a heatmap's cell, so the cell is looked up in the figure.
  attune.headClick = function (click, figure) {
    if (!click || !click.points.length || !figure) return none();
    const row = figure.data[0].customdata[click.points[0].y];
    const data = row && row[click.points[0].x];
    return data ? { layer: data[0], head: data[1] } : none();
  };

  // ---- token strips ----
  function strip(host, reading, kind, pick) {
    const labels = reading.labels;
    // What the token card needs to open on a token of this prompt.
    Object.assign(host.dataset, { tokenText: reading.text || "", tokenChat: reading.chat ? "1" : "", tokenGenerate: reading.generate || 0 });
    const signature = labels.join("\u0001");
    if (host.dataset.signature === signature) return;
    host.dataset.signature = signature;
    host.replaceChildren();
    labels.forEach((label, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "attune-token attune-tok";
      Object.assign(button.dataset, { tokenPosition: i, tokenSoft: "" });
      button.textContent = label;
      button.dataset.index = i;
      button.tabIndex = i === 0 ? 0 : -1;
      button.setAttribute("aria-label", kind + " " + i + ": " + label);
      host.appendChild(button);
    });
    host.onclick = (event) => {
      const button = event.target.closest("button");
      if (button) pick(Number(button.dataset.index));
    };
    host.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -1e6, End: 1e6 }[event.key];
      if (!step || !event.target.dataset.index) return;
      const buttons = host.children;
      const to = Math.max(0, Math.min(buttons.length - 1, Number(event.target.dataset.index) + step));
      buttons[to].focus();
      event.preventDefault();
    };
  }

  function shade(host, row, query, key, hideFirst) {
    let top = 0;
    if (row) row.forEach((v, j) => { if (j <= query && !(hideFirst && j === 0) && v > top) top = v; });
    Array.from(host.children).forEach((button, j) => {
      const visible = j <= query;
      const value = row && visible ? row[j] : 0;
      const hidden = hideFirst && j === 0;
      const strength = top > 0 && !hidden ? Math.sqrt(value / top) : 0;
      button.style.setProperty("--shade", strength.toFixed(3));
      button.classList.toggle("attune-strong", strength > 0.55);
      button.classList.toggle("attune-masked", !visible);
      button.classList.toggle("attune-picked", j === key);
      button.title = visible ? (100 * value).toFixed(1) + " % of the attention" : "masked: comes after the query";
    });
  }

  attune.tokens = async function (reading, packed, query, key, hideFirst) {
    const asks = document.getElementById("query-strip"), gets = document.getElementById("key-strip");
    if (!asks || !gets || !reading || !reading.labels) return none();
    const set = (id, data) => window.dash_clientside.set_props(id, { data: data });
    strip(asks, reading, "query token", (i) => { set("key", null); set("query", i); });
    strip(gets, reading, "key token", (i) => set("key", i));
    const same = packed && packed.cells && packed.tokens === reading.labels.length;
    const rows = same ? await attune.unpack(packed) : null;
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
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, { attune: attune });
})();
