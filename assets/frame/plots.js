// When figures are drawn. To read Plotly takes as long as to read all other scripts, and each plot of a page with many tabs
// takes more, also an empty one behind a tab that nobody has opened. So Plotly is read once there is a figure that can be
// seen, and, unless that is what the page is opened for, once the page has its first answers; a figure behind a closed tab
// is drawn when the tab is opened, and an empty one when there is nothing else to do.
//
// What stands here for Plotly until then has what Dash's graph calls: `react`, of which the newest figure is kept, `on`,
// whose handlers are kept as well, and `Plots.resize` and `purge`, for which there is nothing to do before a drawing.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const QUIET = 1500; // ms that a page has for its answers before anything is drawn that says nothing
  const FIRST = 1500; // ms that a page has for them before Plotly is read, during which nothing else can be done
  const waiting = new Map(); // by element: its newest figure, as it is given to Plotly, and the handlers of its events
  let real = null, coming = null;

  /** Plotly, fetched if it is not there yet. */
  function plotly() {
    coming = coming || new Promise((resolve, reject) => {
      const script = element("script", { src: window._dashPlotlyJSURL });
      script.onload = () => {
        real = window.Plotly;
        window.Plotly = { ...real, react };
        resolve(window.Plotly);
      };
      script.onerror = () => { coming = null; reject(new Error("The plotting script cannot be read.")); };
      document.body.append(script);
    });
    return coming;
  }

  const isEmpty = ([figure]) => !(figure && figure.data && figure.data.length);
  const isAnswer = (gd) => !!gd.closest("[data-plot=answer]"); // the figure that its page is opened for
  const isSeen = (gd) => gd.isConnected && gd.checkVisibility();

  /** Plotly's own, but for an element that was never drawn: it waits until it should be. */
  function react(gd, ...figure) {
    if (real && (gd._fullLayout || (isSeen(gd) && !isEmpty(figure)))) {
      const before = forget(gd), drawn = real.react(gd, ...figure);
      before.forEach(([name, handler]) => gd.on(name, handler));
      return drawn;
    }
    const before = waiting.get(gd);
    if (before) {
      before.figure = figure;
      if (isSeen(gd)) soon(gd);
    } else {
      const handlers = [];
      gd.on = (name, handler) => handlers.push([name, handler]);
      waiting.set(gd, { figure, handlers });
      sizes.observe(gd); // says at once whether it has a place, and says so when its tab is opened
    }
    return Promise.resolve(gd);
  }

  /** It waits no more: the handlers that it has got meanwhile. */
  function forget(gd) {
    const { handlers } = waiting.get(gd) || { handlers: [] };
    if (waiting.delete(gd)) delete gd.on;
    sizes.unobserve(gd);
    return handlers;
  }

  /** Until no answer is awaited, for so long at most. */
  async function quiet(until = performance.now() + FIRST) {
    while (performance.now() < until && window.store && window.store.getState().isLoading) {
      await new Promise((go) => setTimeout(go, 20));
    }
  }

  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => {
    if (!target.isConnected) forget(target);
    else if (isSeen(target)) soon(target);
  }));

  function soon(gd) {
    const { figure } = waiting.get(gd) || {};
    if (!figure) return;
    const draw = async () => {
      if (!coming && !isAnswer(gd)) await quiet();
      await plotly();
      await new Promise((go) => setTimeout(go)); // an answer that came meanwhile is shown before the next figure is drawn
      // A newer figure has been taken care of by itself.
      if (waiting.has(gd) && waiting.get(gd).figure === figure && isSeen(gd)) {
        const handlers = forget(gd), drawn = real.react(gd, ...figure);
        handlers.forEach(([name, handler]) => gd.on(name, handler));
        await drawn;
      }
    };
    if (!isEmpty(figure)) draw();
    else if (((figure[0] || {}).layout || {}).annotations?.length) setTimeout(() => window.requestIdleCallback(draw), QUIET);
  }

  /** Another theme: those that wait are drawn in it. */
  function redress(template) {
    waiting.forEach(({ figure: [figure] }) => {
      if (figure && figure.layout && figure.layout.template) figure.layout.template = template;
    });
  }

  window.Plotly = { react, purge: forget, Plots: { resize: () => Promise.reject(new Error("It is not drawn yet.")) } };
  /** Whether nothing in an element, or in the page, is still to be drawn that can be seen. */
  const isDrawn = (host = document.body) =>
    [...waiting].every(([gd, { figure }]) => isEmpty(figure) || !isSeen(gd) || !host.contains(gd));

  register("attune", { isDrawn, plotly, redress });
})();
