// Every figure leaves the page as PNG, SVG, HTML, CSV or JSON, with the settings that made it. All of it happens in the
// browser, on what the browser shows; nothing is sent anywhere.
(function () {
  const { byId, bytesOf, download, element, escape, on, read, register, same, set, walk } = window.dash_clientside.attune_kit;

  // Typed arrays (plain, or in plotly's {dtype, bdata, shape} form) as nested lists; NaN becomes null.
  function plain(value) {
    if (value && value._inputArray) return plain(value._inputArray);
    if (value && value.bdata !== undefined) return decode(value);
    if (ArrayBuffer.isView(value)) return Array.from(value, (v) => (Number.isFinite(v) ? v : null));
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value === "number" && !Number.isFinite(value)) return null;
    return value;
  }
  const KINDS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, i1: Int8Array, i2: Int16Array, u2: Uint16Array,
    i4: Int32Array, u4: Uint32Array };
  function decode(packed) {
    const flat = Array.from(new KINDS[packed.dtype](bytesOf(packed.bdata).buffer), (v) => (Number.isFinite(v) ? v : null));
    const shape = String(packed.shape || flat.length).split(",").map(Number);
    if (shape.length < 2) return flat;
    const rows = [];
    for (let i = 0; i < shape[0]; i += 1) rows.push(flat.slice(i * shape[1], (i + 1) * shape[1]));
    return rows;
  }

  const KEPT = ["type", "name", "x", "y", "z", "customdata", "text", "error_y"];
  function traces(gd) {
    return gd.data.map((trace) => {
      const out = {};
      KEPT.forEach((k) => { if (trace[k] !== undefined) out[k] = plain(trace[k]); });
      return out;
    });
  }

  function csvCell(v) {
    if (v === null || v === undefined) return "";
    let text = Array.isArray(v) ? v.join("|") : String(v);
    // A cell that starts like a formula is text to a spreadsheet only with a quote before it.
    if (typeof v !== "number" && /^\s*[=+\-@\t\r\n]/.test(text)) text = "'" + text;
    return /[",;\t\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }
  function csv(gd, settings) {
    // One cell: unquoted, a comma in a prompt would begin another one, and that could be a formula.
    const lines = [csvCell("# " + JSON.stringify(settings)), "trace,x,y,value"];
    traces(gd).forEach((t, n) => {
      const name = t.name || t.type + " " + n;
      if (Array.isArray(t.z) && Array.isArray(t.z[0])) {
        t.z.forEach((row, i) => row.forEach((v, j) => {
          if (v !== null) lines.push([name, t.x ? t.x[j] : j, t.y ? t.y[i] : i, v].map(csvCell).join(","));
        }));
      } else if (Array.isArray(t.y)) {
        t.y.forEach((v, i) => lines.push([name, t.x ? t.x[i] : i, v, t.z ? t.z[i] : ""].map(csvCell).join(",")));
      }
    });
    return lines.join("\n") + "\n";
  }

  function caption(settings) {
    const words = Object.entries(settings || {}).map(([k, v]) => k + ": " +
      (typeof v === "object" ? JSON.stringify(v) : String(v)));
    const lines = [];
    let line = "";
    words.forEach((w) => {
      const cut = w.length > 150 ? w.slice(0, 149) + "…" : w;
      if ((line + cut).length > 150) { lines.push(line); line = ""; }
      line += (line ? "  ·  " : "") + cut;
    });
    lines.push(line);
    return lines.map(escape);
  }
  const isDark = () => window.dash_clientside.attune.currentTheme() === "dark";
  function withCaption(gd, settings) {
    const lines = caption(settings);
    const layout = JSON.parse(JSON.stringify(gd.layout, (k, v) => (ArrayBuffer.isView(v) ? Array.from(v) : v)));
    const box = gd.getBoundingClientRect();
    const foot = 16 * lines.length + 12;
    const size = gd._fullLayout._size;
    layout.width = Math.max(640, Math.round(box.width));
    layout.height = Math.round(box.height) + foot;
    layout.margin = { l: size.l, r: size.r, t: size.t, b: size.b + foot };
    ["xaxis", "yaxis"].forEach((a) => { if (layout[a]) layout[a].automargin = false; });
    layout.paper_bgcolor = isDark() ? "#0d1117" : "#ffffff";
    const inner = layout.height - layout.margin.t - layout.margin.b;
    layout.annotations = (layout.annotations || []).concat([{
      text: lines.join("<br>"), showarrow: false, xref: "paper", yref: "paper", x: 0, xanchor: "left",
      y: -(size.b + 2) / inner, yanchor: "top", align: "left", xshift: 8 - size.l, font: { size: 10 },
    }]);
    return { data: gd.data, layout: layout };
  }

  /** Title and caption of a card, as its page words them. */
  function wordsOf(name) {
    const card = document.querySelector('[data-card="' + CSS.escape(name) + '"]'), caption = byId(name + "-caption");
    return [card ? card.querySelector("h3").textContent : name, caption ? caption.textContent : ""];
  }
  async function page(gd, settings, title, words) {
    const source = Array.from(document.scripts).map((s) => s.src).find((s) => /plotly(\.min)?(\.v[^/]*)?\.js/.test(s));
    const library = (await (await fetch(source)).text()).replace(/<\/script/g, "<\\/script");
    const figure = withCaption(gd, settings);
    const body = JSON.stringify({ data: figure.data.map((t) => {
      const out = {};
      Object.keys(t).forEach((k) => { out[k] = plain(t[k]); });
      return out;
    }), layout: figure.layout }).replace(/</g, "\\u003c");
    return "<!doctype html><html lang='en'><meta charset='utf-8'><title>" + escape(title) + " · Attune</title>" +
      "<body style='margin:0;font:15px system-ui,sans-serif;color:" + (isDark() ? "#e6edf3" : "#1f2328") + ";background:" +
      figure.layout.paper_bgcolor + "'><h1 style='font-size:20px;margin:12px 16px 4px'>" + escape(title) +
      "</h1><p style='margin:0 16px 8px;max-width:90ch'>" + escape(words) + "</p><script>" + library + "</script><div id='f'></div><script>const f=" + body +
      ";Plotly.newPlot('f',f.data,f.layout,{displaylogo:false,modeBarButtonsToRemove:['sendChartToCloud']})</script>";
  }

  // A card's store holds what draws its figure again: a view, the questions that it asks, and options. Flat, as settings
  // are read by people; two questions that give one setting two values are told apart by their names. What was asked
  // for by a rule (a rank of -1) is what the answer says. A text of many pages, such as passages of one's own, is cut.
  const LONGEST = 2000;
  function settingsOf(ref) {
    if (!ref || !ref.questions) return ref || {};
    const out = { view: ref.view, ...ref.options };
    for (const { operation, params } of ref.questions) {
      for (const [name, value] of Object.entries(params)) {
        const other = name in out && JSON.stringify(out[name]) !== JSON.stringify(value);
        const long = typeof value === "string" && value.length > LONGEST;
        out[other ? operation + "." + name : name] =
          long ? value.slice(0, LONGEST) + "… (" + value.length + " characters)" : value;
      }
    }
    return Object.assign(out, ref.facts);
  }

  /** Hand the figure of a card to the browser's downloads: what is said of it. */
  async function exportFigure(name, format) {
    const gd = document.querySelector("#" + CSS.escape(name) + " .js-plotly-plot");
    if (!gd || !gd.data || !gd.data.length) return "There is nothing to export yet.";
    const [title, words] = wordsOf(name);
    const made = Object.assign({ figure: name, title, exported_by: "Attune", date: new Date().toISOString() },
      settingsOf(read({ settings: name }, "data")));
    // The model that the header names is the one that was asked, or another one has a page of its own.
    if (made.model && same(made.model, read("model", "data"))) made.model_name = byId("model-badge").title;
    const file = "attune-" + name;
    if (format === "json") {
      download(file + ".json", "application/json", JSON.stringify({ settings: made, traces: traces(gd) }, null, 1));
    } else if (format === "csv") {
      download(file + ".csv", "text/csv", csv(gd, made));
    } else if (format === "html") {
      download(file + ".html", "text/html", await page(gd, made, title, words));
    } else {
      const figure = withCaption(gd, made);
      const uri = await window.Plotly.toImage(figure, { format, width: figure.layout.width,
        height: figure.layout.height, scale: format === "png" ? 2 : 1 });
      download(file + "." + format, "", await (await fetch(uri)).blob());
    }
    return "Exported " + file + "." + format;
  }

  // ---- the menu of a card, which is there while it is open ----
  const FORMATS = { png: "PNG picture", svg: "SVG drawing", html: "HTML page, interactive, works offline (about 5 MB)",
    csv: "CSV, the numbers shown", json: "JSON, numbers and settings" };
  const ITEM = "attune-export-item";
  let open = null; // its button and its entries
  function close(back = false) {
    if (!open) return;
    open.menu.remove();
    open.button.setAttribute("aria-expanded", "false");
    if (back) open.button.focus();
    open = null;
  }
  on("click", "[data-export]", (button, event) => {
    const again = open && open.button === button;
    close();
    if (again) return;
    const items = Object.entries(FORMATS).map(([format, text]) => element("button", { class: "dropdown-item " + ITEM,
      type: "button", role: "menuitem", "data-format": format }, text));
    const menu = element("div", { class: "dropdown-menu dropdown-menu-end show", role: "menu", "data-bs-popper": "static" }, items);
    button.parentElement.append(menu);
    button.setAttribute("aria-expanded", "true");
    open = { button, menu };
    if (!event.detail) items[0].focus(); // opened by a key
  });
  on("click", "." + ITEM, async (item) => {
    const { export: name } = open.button.dataset, { format } = item.dataset;
    close(true);
    set("message", { children: await exportFigure(name, format), is_open: true });
  });
  document.addEventListener("click", (event) => { if (!event.target.closest(".attune-export")) close(); });
  document.addEventListener("keydown", (event) => { if (open && event.key === "Escape") { close(true); event.stopPropagation(); } }, true);
  walk(".attune-export", "button");

  register("attune", { exportFigure, settingsOf });
})();
