// A board as a page of its own, without a server: everything is in the block of data below. Texts go in through text
// nodes; notes are built element by element from an allow-list (prose.js); figures and parts by exhibit.js.
(function () {
  const { attune_kit: kit, attune_prose: prose, attune_exhibit: exhibits } = window.dash_clientside;
  const { element } = kit;
  const data = JSON.parse(document.getElementById("attune-data").textContent);
  const root = document.documentElement;
  /** Plots on a graphics context: browsers have few of these, so such a plot is drawn while it is in sight. */
  const DEEP = /gl$|3d$|^surface$/;
  const FEW = 8;
  const PAPER = 1000, PLOT = 740; // pixels across a page of paper, and across a figure with its control beside it
  const onlyPaper = window.location.hash === "#paper"; // printed by a program, whose clock runs ahead: all drawn at once

  // ---- data ----
  /** The dark exhibit from the light one: paths with new values, paths alone of what goes. */
  function changed(one, delta) {
    const other = JSON.parse(JSON.stringify(one));
    delta.forEach(([path, ...value]) => {
      const last = path[path.length - 1];
      const at = path.slice(0, -1).reduce((part, key) => part[key], other);
      if (value.length) at[last] = value[0];
      else delete at[last];
    });
    return other;
  }
  const exhibitOf = (pin, theme) => (theme === "dark" ? changed(data.exhibits[pin].light, data.exhibits[pin].dark) : data.exhibits[pin].light);
  const theme = () => root.getAttribute("data-bs-theme");

  // ---- views ----
  const views = [];
  function view(pin) {
    const light = data.exhibits[pin].light;
    const traces = (light.figure && light.figure.data) || [];
    const host = element("div", { class: "page-view", "data-pin": pin,
      style: { "min-height": (light.figure ? light.height || 360 : 0) + "px" } });
    views.push({ host, pin, deep: traces.some((t) => DEEP.test(t.type || "")), drawn: null });
    return host;
  }
  function draw(it) {
    it.drawn = it.drawn || exhibits.draw(it.host, exhibitOf(it.pin, theme()), { theme: theme(), beside: true,
      again: async (other) => exhibitOf(it.pin, other) });
    return it.drawn;
  }
  const later = window.requestIdleCallback || ((then) => setTimeout(then, 20));
  /** Draw what is in sight at once, and all others one after the other. */
  async function drawAll() {
    if (onlyPaper) await Promise.all(views.map(draw));
    else await drawInTurn();
    root.dataset.drawn = "all";
  }
  async function drawInTurn() {
    const many = views.filter((it) => it.deep).length > FEW;
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      const it = views.find((v) => v.host === entry.target);
      if (entry.isIntersecting) draw(it);
      else if (many && it.deep && it.drawn) { it.drawn = null; exhibits.clear(it.host); }
    }), { rootMargin: "300px" });
    views.forEach((it) => seen.observe(it.host));
    for (const it of views.filter((v) => !many || !v.deep)) {
      await new Promise((resolve) => later(resolve));
      await draw(it);
    }
  }

  // ---- items ----
  /** The nodes of a text; links to pages of Attune lead nowhere here, so that their words alone stay. */
  function nodes(html) {
    const box = element("div", {}, prose.nodes(html));
    box.querySelectorAll('a[href^="/"], a:not([href])').forEach((link) => link.replaceWith(...link.childNodes));
    return Array.from(box.childNodes);
  }
  const note = (html, kind = "") => (html ? element("div", { class: "page-note " + kind, dir: "auto" }, nodes(html)) : null);
  const heading = (item) => nodes(item.claim || item.title || "");
  function shown(item) {
    const head = item.claim || item.title ? element("h2", { dir: "auto" }, heading(item)) : null;
    const counter = item.counter ? element("div", { class: "page-counter" }, element("h3", {}, "Counter-example"), note(item.counter)) : null;
    return element("section", { class: "page-item" + (item.kind === "section" ? " part" : ""), id: item.id },
      head, item.pins.filter((pin) => data.exhibits[pin]).map(view), note(item.note), counter);
  }
  function contents() {
    const named = data.items.filter((item) => item.claim || item.title);
    return element("nav", { class: "page-contents", "aria-label": "Contents" }, element("h2", {}, "Contents"),
      element("ol", {}, named.map((item) => element("li", { class: item.kind === "section" ? "part" : null },
        element("a", { href: "#" + item.id, dir: "auto" }, element("span", {}, heading(item)).textContent))),
      element("li", { class: "part" }, element("a", { href: "#methods" }, "Methods"))));
  }
  function methods() {
    return element("section", { class: "page-item page-end", id: "methods" }, element("h2", {}, "Methods"),
      element("div", { class: "page-methods", dir: "auto" }, data.methods),
      element("details", {}, element("summary", {}, "References as BibTeX"), element("pre", { class: "page-methods", tabindex: 0 }, data.bibtex)));
  }
  function head() {
    const hidden = data.hidden ? " " + data.hidden + (data.hidden === 1 ? " text is" : " texts are") + " hidden." : "";
    const button = element("button", { type: "button" }, "Dark or light");
    button.addEventListener("click", () => {
      const other = theme() === "dark" ? "light" : "dark";
      root.setAttribute("data-bs-theme", other);
      try { localStorage.setItem("attune-theme", other); } catch { /* private window */ }
    });
    return element("header", { class: "page-head" }, element("h1", { dir: "auto" }, data.title),
      element("p", {}, "Made with Attune " + data.program + " on " + data.made + "." + hidden), button);
  }

  // ---- paper ----
  const plots = () => Array.from(document.querySelectorAll(".js-plotly-plot"));
  let before = "light";
  function onPaper() {
    before = theme();
    root.setAttribute("data-bs-theme", "light");
    plots().forEach((plot) => window.Plotly.relayout(plot, { width: PLOT, height: plot.clientHeight }));
  }
  function onScreen() {
    root.setAttribute("data-bs-theme", before);
    plots().forEach((plot) => window.Plotly.relayout(plot, { autosize: true, width: null, height: null }));
  }
  window.addEventListener("beforeprint", onPaper);
  window.addEventListener("afterprint", onScreen);

  const page = document.getElementById("page");
  if (onlyPaper) {
    root.setAttribute("data-bs-theme", "light");
    root.classList.add("on-paper");
    page.style.setProperty("width", PAPER + "px");
  }
  page.append(head(), element("div", { class: "page-body" }, contents(),
    element("main", {}, data.items.map(shown), methods())));
  drawAll();
})();
