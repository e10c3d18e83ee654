// What a pin looks like, wherever it is shown: board, talk, share link, static page. Drawn from plain data
// (components/findings/exhibit.py) with kit.js, board.js and Plotly alone, so that a page without Dash draws it as well.
// Texts of models and people go in through text nodes; those in figures have been escaped by their view.
(function () {
  const { element, local, on, register } = window.dash_clientside.attune_kit;
  const CONFIG = { displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d", "toImage"] };
  /** Text of axes that is read from the back of a room, in pixels, and the distance that two labels then need. */
  const FAR = 18, APART = 26;

  // ---- plotly ----
  // Dash fetches it when the first graph comes; a page without one fetches it here.
  let coming = null;
  /** Plotly, fetched if it is not there yet. `address`: of the script, where no Dash page names it. */
  function plotly(address = window._dashPlotlyJSURL) {
    if (window.Plotly) return Promise.resolve(window.Plotly);
    coming = coming || new Promise((resolve, reject) => {
      const script = element("script", { src: address });
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => { coming = null; reject(new Error("The plotting script cannot be read.")); };
      document.head.append(script);
    });
    return coming;
  }

  // ---- figures ----
  const copy = (value) => JSON.parse(JSON.stringify(value));
  const atLeast = (font, size) => ({ ...font, size: Math.max(size, (font && font.size) || 0) });
  const titled = (title) => (title ? { ...(typeof title === "string" ? { text: title } : title),
    font: atLeast(title.font, FAR) } : title);
  /** An axis whose text is large, with as many labels as then have room along `length` pixels. */
  function far(axis, length) {
    const most = Math.max(2, Math.floor(length / APART));
    const large = { ...axis, tickfont: atLeast(axis.tickfont, FAR), title: titled(axis.title) };
    if (large.nticks) large.nticks = Math.min(large.nticks, most);
    if (large.tickvals && large.tickvals.length > most) {
      const step = Math.ceil(large.tickvals.length / most), some = (_, i) => i % step === 0;
      large.tickvals = large.tickvals.filter(some);
      if (large.ticktext) large.ticktext = large.ticktext.filter(some);
    }
    return large;
  }
  const AXIS = /^([xyz])axis\d*$/;
  function farAxes(layout, width, height) {
    Object.keys(layout).forEach((name) => {
      const axis = AXIS.exec(name);
      if (!axis || !layout[name]) return;
      const [low, high] = layout[name].domain || [0, 1];
      layout[name] = far(layout[name], (high - low) * 0.8 * (axis[1] === "x" ? width : height));
    });
  }
  /** A figure as it is drawn: in a template if one is given, and legible from afar if it shall be. */
  function prepared(figure, { big, template, width, height }) {
    const { data, layout } = copy(figure);
    if (template) layout.template = template;
    delete layout.height;
    delete layout.width;
    if (!big) return { data, layout };
    layout.font = atLeast({ ...(layout.template && layout.template.layout || {}).font, ...layout.font }, FAR);
    farAxes(layout, width, height);
    const usual = layout.template && layout.template.layout;
    if (usual) farAxes(usual, width, height);
    Object.keys(layout).filter((name) => /^scene\d*$/.test(name)).forEach((name) => {
      ["xaxis", "yaxis", "zaxis"].forEach((axis) => {
        layout[name][axis] = { nticks: 4, ...far(layout[name][axis] || {}, height) };
      });
    });
    (layout.annotations || []).forEach((note) => { note.font = atLeast(note.font, FAR); });
    if (layout.legend) layout.legend.font = atLeast(layout.legend.font, FAR);
    const bars = [...data, ...Object.values(layout).filter((part) => part && part.colorbar)];
    bars.flatMap((part) => [part, part.marker]).filter((part) => part && part.colorbar).forEach((part) => {
      part.colorbar = { ...part.colorbar, tickfont: atLeast(part.colorbar.tickfont, FAR), title: titled(part.colorbar.title) };
    });
    data.forEach((trace) => { if (trace.textfont || trace.text) trace.textfont = atLeast(trace.textfont, 16); });
    return { data, layout };
  }

  // ---- tables ----
  /** A number as it is read: whole ones as they are, others to four digits. */
  function number(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "number") return String(value);
    const text = Number.isInteger(value) ? String(value)
      : value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
    return text.replace("-", "−");
  }
  const NEXT = { none: "first", first: "second", second: "none" };
  function table(part) {
    const numeric = part.columns.map((_, j) => part.rows.some((row) => typeof row[j] === "number") &&
      part.rows.every((row) => row[j] === null || typeof row[j] === "number"));
    const body = element("tbody", {}, part.rows.map((row) => element("tr", {}, row.map((cell, j) =>
      element("td", numeric[j] ? { class: "attune-exhibit-number" } : {}, number(cell))))));
    const rows = Array.from(body.children);
    // Numbers begin with the largest, words with the first of the alphabet; the third press gives the order of the view.
    const order = (j, turn) => (a, b) => {
      const x = part.rows[a][j], y = part.rows[b][j];
      if (x === null || y === null) return (x === null) - (y === null);
      const up = numeric[j] ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
      return (turn === "first") === numeric[j] ? -up : up;
    };
    const heads = part.columns.map((name, j) => element("th", { scope: "col", "aria-sort": "none",
      class: numeric[j] ? "attune-exhibit-number" : null }, element("button", { type: "button", class: "attune-exhibit-sort",
      "data-column": j }, name)));
    heads.forEach((head, j) => head.firstChild.addEventListener("click", () => {
      const turn = NEXT[head.dataset.turn || "none"];
      heads.forEach((other) => { other.dataset.turn = "none"; other.setAttribute("aria-sort", "none"); });
      head.dataset.turn = turn;
      if (turn !== "none") head.setAttribute("aria-sort", (turn === "first") === numeric[j] ? "descending" : "ascending");
      const places = rows.map((_, i) => i);
      if (turn !== "none") places.sort(order(j, turn));
      body.append(...places.map((i) => rows[i]));
    }));
    return scrolled(part.title, element("table", { class: "attune-exhibit-table" },
      element("thead", {}, element("tr", {}, heads)), body));
  }
  /** A box that is scrolled sideways where its content is too wide, also by keyboard. */
  const scrolled = (title, content) => element("div", { class: "attune-exhibit-scroll", tabindex: 0, role: "region",
    "aria-label": title }, content);

  // ---- texts, boards, facts ----
  /** Pairs of name and value, as a list that a screen reader takes in pairs. */
  const pairs = (rows) => element("dl", { class: "attune-exhibit-pairs" }, rows.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, number(value)))));
  function text({ title, text: words, prompt, tokens, numbers }) {
    const shaded = (tokens || []).map(([word, shade]) => (shade
      ? element("span", { class: shade < 0 ? "attune-exhibit-less" : "attune-exhibit-more", title: number(shade),
        style: { "--shade": Math.min(1, Math.abs(shade)) } }, word) : word));
    return element("div", { class: "attune-exhibit-text" }, element("h5", {}, title),
      element("p", { class: "attune-exhibit-words", dir: "auto" },
        prompt ? element("span", { class: "attune-exhibit-prompt" }, prompt) : null, shaded.length ? shaded : words),
      numbers ? pairs(Object.entries(numbers)) : null);
  }
  function board([title, data]) {
    const host = element("div", { class: "attune-board", role: "group", "aria-label": title });
    window.dash_clientside.attune_board.draw(host, data);
    return element("div", { class: "attune-exhibit-board" }, element("h5", {}, title), host);
  }
  const PARTS = {
    table,
    texts: (part) => element("div", { class: "attune-exhibit-texts" }, part.texts.map(text)),
    boards: (part) => element("div", { class: "attune-exhibit-boards" }, part.boards.map(board)),
    facts: (part) => pairs(part.rows),
  };
  const drawn = (part) => element("section", { class: "attune-exhibit-part", "aria-label": part.title || "Part" },
    part.title ? element("h4", {}, part.title) : null, PARTS[part.kind](part));

  // ---- what stands beside it ----
  function control(said) {
    if (!said) return element("aside", { class: "attune-exhibit-control attune-exhibit-none", "aria-label": "Control" },
      element("h4", {}, "No control"), element("p", {}, "This view has no null or control of its own."));
    const numbers = Object.entries(said.numbers || {});
    return element("aside", { class: "attune-exhibit-control", "aria-label": "Control" },
      element("h4", {}, "Control: " + said.name), element("p", {}, said.text), numbers.length ? pairs(numbers) : null);
  }
  const valueOf = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : value);
  function settings(exhibit) {
    const models = exhibit.models.map((m) => ["model", [m.label || m.source, m.revision, m.dtype, m.device].filter(Boolean).join(" · ")]);
    const { model, ...own } = { ...exhibit.settings, ...exhibit.facts };
    const rows = [...(models.length || model === undefined ? models : [["model", model]]), ...Object.entries(own), ["pinned", exhibit.date]];
    return element("details", { class: "attune-exhibit-settings" }, element("summary", {}, "Settings"),
      pairs(rows.map(([name, value]) => [name.replaceAll("_", " "), valueOf(value)])));
  }
  function marks(exhibit) {
    const { stale, check, frozen } = exhibit;
    const mark = (kind, words) => (words ? element("p", { class: "attune-exhibit-mark", "data-mark": kind }, words) : null);
    return [mark("stale", stale && "Stale: " + stale), mark(check && check.state, check && "Checked: " + check.text),
      mark("frozen", frozen)];
  }

  // ---- the whole ----
  const shown = new Map();
  /**
   * Draw an exhibit into an element; gives a promise of the element of its figure (null without one).
   *
   * Options: `theme`; `big` for a talk (text of axes at least 18 px); `height` of the figure in pixels; `title`,
   * `caption`, `control`, `marks`, `settings`: false leaves that out; `beside`: the control stands at the side;
   * `again(theme)`: gives the exhibit in another theme when the theme of the page is switched; `templates`: plotly's
   * templates by theme, for a page that has nobody to ask.
   */
  async function draw(host, exhibit, options = {}) {
    clear(host);
    shown.set(host, [exhibit, options]);
    const { big, beside } = options, height = options.height || exhibit.height || 360;
    const plot = exhibit.figure ? element("div", { class: "attune-exhibit-plot", role: "group", "aria-label": exhibit.title,
      style: { height: height + "px" } }) : null;
    const wanted = (name, make) => (options[name] === false ? null : make());
    host.classList.add("attune-exhibit");
    host.classList.toggle("attune-exhibit-big", Boolean(big));
    host.classList.toggle("attune-exhibit-beside", Boolean(beside));
    host.append(element("div", { class: "attune-exhibit-main" },
      wanted("title", () => element("h4", { class: "attune-exhibit-title" }, exhibit.title)),
      wanted("marks", () => element("div", {}, marks(exhibit).filter(Boolean))),
      plot, exhibit.parts.map(drawn),
      wanted("caption", () => (exhibit.caption ? element("p", { class: "attune-exhibit-caption" }, exhibit.caption) : null))),
    element("div", { class: "attune-exhibit-rest" }, wanted("control", () => control(exhibit.control)),
      wanted("settings", () => settings(exhibit))));
    if (!plot) return null;
    const library = await plotly(options.plotly);
    if (!plot.isConnected) return null; // another exhibit has taken its place meanwhile
    const theme = options.theme || exhibit.theme;
    const template = options.templates && theme !== exhibit.theme ? options.templates[theme] : null;
    const figure = prepared(exhibit.figure, { big, template, width: plot.clientWidth || 900, height });
    await library.newPlot(plot, figure.data, figure.layout, { ...CONFIG, ...(big ? { displayModeBar: false } : {}) });
    return plot;
  }
  /** Empty an element that an exhibit was drawn into. */
  function clear(host) {
    shown.delete(host);
    host.querySelectorAll(".js-plotly-plot").forEach((plot) => window.Plotly && window.Plotly.purge(plot));
    host.replaceChildren();
  }
  /** A pin of this data folder as an exhibit in a theme. Throws the server's sentence. */
  async function fetched(pin, theme) {
    const response = await fetch(local("/findings/api/pins/" + encodeURIComponent(pin) + "?theme=" + theme));
    if (!response.ok) throw new Error("The server answered " + response.status + ".");
    const answer = await response.json();
    if (answer.refused) throw new Error(answer.refused);
    return answer;
  }

  // In another theme, each exhibit is drawn anew: as its page gives it, or in the template of that theme.
  new MutationObserver(() => {
    const theme = document.documentElement.getAttribute("data-bs-theme");
    Array.from(shown).forEach(async ([host, [exhibit, options]]) => { // a copy: to draw is to take out and put in again
      if (!host.isConnected) { shown.delete(host); return; }
      if (!exhibit.figure || !(options.again || options.templates)) return;
      const other = options.again ? await options.again(theme).catch(() => exhibit) : exhibit;
      if (shown.has(host) && shown.get(host)[0] === exhibit) draw(host, other, { ...options, theme });
    });
  }).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

  // Enter and Space press a header as they press any button; arrows go from one to the next.
  const ALONG = { ArrowRight: 1, ArrowLeft: -1 };
  on("keydown", ".attune-exhibit-sort", (button, event) => {
    if (!ALONG[event.key]) return;
    const all = Array.from(button.closest("tr").querySelectorAll(".attune-exhibit-sort"));
    all[Math.max(0, Math.min(all.length - 1, all.indexOf(button) + ALONG[event.key]))].focus();
    event.preventDefault();
  });

  register("attune_exhibit", { clear, draw, fetched, number, plotly });
})();
