// What a pin looks like, wherever it is shown: board, talk, share link, static page. Drawn from plain data
// (components/findings/exhibit.py) with kit.js, board.js and Plotly alone, so that a page without Dash draws it as well.
// Texts of models and people go in through text nodes; those in figures have been escaped by their view.
(function () {
  const { element, local, on, register } = window.dash_clientside.attune_kit;
  const CONFIG = { displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d", "toImage"] };
  /** Numbers of a control that are taken in at one glance, and letters of its text beside which there is room for them. */
  const FEW = 4, GLANCE = 160;

  // ---- plotly ----
  // A page of Dash fetches it by plots.js; another one fetches it here.
  let coming = null;
  /** Plotly, fetched if it is not there yet. `address`: of the script, where no Dash page names it. */
  function plotly(address = window._dashPlotlyJSURL) {
    if (window.Plotly && window.Plotly.newPlot) return Promise.resolve(window.Plotly);
    if (window._dashPlotlyJSURL) return window.dash_clientside.attune.plotly();
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
  /** A figure as it is drawn: in a template if one is given, and legible from afar if it shall be. */
  function prepared(figure, { big, template, width, height }) {
    const { data, layout } = copy(figure);
    if (template) layout.template = template;
    delete layout.height;
    delete layout.width;
    if (big) window.dash_clientside.attune_far.enlarge({ data, layout }, width, height);
    return { data, layout };
  }

  // ---- tables ----
  /** A number as it is read: whole ones as they are, others to four digits. */
  function number(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "number") return String(value);
    const text = Number.isInteger(value) ? String(value)
      : value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
    return text.replaceAll("-", "−");
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
  /** A control with its numbers; `big`: what is read in one glance, the rest is left to the whole of it. */
  function control(said, big) {
    if (!said) return element("aside", { class: "attune-exhibit-control attune-exhibit-none", "aria-label": "Control" },
      element("h4", {}, "No control"), element("p", {}, "This view has no null or control of its own."));
    const numbers = Object.entries(said.numbers || {});
    const { text: glance, more } = big ? window.dash_clientside.attune_far.first(said.text) : { text: said.text, more: false };
    const few = big ? numbers.slice(0, more || glance.length > GLANCE ? 0 : FEW) : numbers;
    return element("aside", { class: "attune-exhibit-control", "aria-label": "Control" },
      element("h4", {}, "Control: " + said.name), element("p", {}, glance), few.length ? pairs(few) : null,
      more || few.length < numbers.length ? element("p", { class: "attune-exhibit-whole" }, "c shows all of it") : null);
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
    const rows = big && plot ? window.dash_clientside.attune_far.rows() : null;
    const wanted = (name, make) => (options[name] === false ? null : make());
    host.classList.add("attune-exhibit");
    host.classList.toggle("attune-exhibit-big", Boolean(big));
    host.classList.toggle("attune-exhibit-beside", Boolean(beside));
    host.append(element("div", { class: "attune-exhibit-main" },
      wanted("title", () => element("h4", { class: "attune-exhibit-title" }, exhibit.title)),
      wanted("marks", () => element("div", {}, marks(exhibit).filter(Boolean))),
      plot, rows, exhibit.parts.map(drawn),
      wanted("caption", () => (exhibit.caption ? element("p", { class: "attune-exhibit-caption" }, exhibit.caption) : null))),
    element("div", { class: "attune-exhibit-rest" }, wanted("control", () => control(exhibit.control, big)),
      wanted("settings", () => settings(exhibit))));
    if (!plot) return null;
    const library = await plotly(options.plotly);
    if (!plot.isConnected) return null; // another exhibit has taken its place meanwhile
    const theme = options.theme || exhibit.theme;
    const template = options.templates && theme !== exhibit.theme ? options.templates[theme] : null;
    const figure = prepared(exhibit.figure, { big, template, width: plot.clientWidth || 900, height });
    await library.newPlot(plot, figure.data, figure.layout, { ...CONFIG, ...(big ? { displayModeBar: false } : {}) });
    if (big) await window.dash_clientside.attune_far.fit(library, plot, rows);
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

  register("attune_exhibit", { clear, control, draw, fetched, number, plotly });
})();
