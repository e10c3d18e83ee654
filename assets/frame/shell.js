// The frame of every page: the theme, the address and the ways between pages, and the copied link.
(function () {
  const { bare, isOwn, local, none, register, same, set } = window.dash_clientside.attune_kit;

  // ---- theme (theme.js has set it before anything was painted) ----
  const currentTheme = () => document.documentElement.getAttribute("data-bs-theme") || "light";
  function toggleTheme(clicks, templates) {
    if (!clicks) return none();
    const then = currentTheme(), next = then === "dark" ? "light" : "dark";
    document.documentElement.setAttribute("data-bs-theme", next);
    try { localStorage.setItem("attune-theme", next); } catch { /* private window */ }
    document.querySelectorAll(".js-plotly-plot").forEach((plot) => {
      if (!window.Plotly || !plot.layout) return;
      window.Plotly.relayout(plot, { template: templates[next] });
      // What only the browser draws has no server that would give it the other theme's scale.
      const [old, now] = [then, next].map((theme) => templates[theme].layout.colorscale.diverging);
      plot.data.forEach((trace, i) => {
        if (same(trace.colorscale, old)) window.Plotly.restyle(plot, { colorscale: [now] }, [i]);
      });
    });
    window.dash_clientside.attune.redress(templates[next]);
    return next;
  }

  // ---- address ----
  // The names and values of a page's state become the query of the address, without reloading anything.
  function address(...values) {
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
  }
  // The way back to a page leads to the view that was left, with the model that is in use by then.
  // `paths`: those of all pages, in the order of the navigation. The window remembers the views over a reload.
  const LEFT = "attune-left";
  let left = {};
  try { left = JSON.parse(sessionStorage.getItem(LEFT)) || {}; } catch { /* no storage, or none of ours */ }
  function wayBack(address, pathname, paths) {
    const [whole, search] = (address || "").split("?");
    const path = bare(whole), here = bare(pathname || "") + "/";
    if (paths.includes(path)) {
      const query = new URLSearchParams(search || "");
      query.delete("model");
      left[path] = query.size ? path + "?" + query : path;
      try { sessionStorage.setItem(LEFT, JSON.stringify(left)); } catch { /* the views are kept until a reload */ }
    }
    return paths.flatMap((page) => [local(isOwn(left[page]) ? left[page] : page), here.startsWith(page + "/")]);
  }
  let going = null; // until the button says again what it does
  async function copyAddress(clicks) {
    if (!clicks) return none();
    clearTimeout(going);
    going = setTimeout(() => set("copy-link", { children: "Copy link" }), 4000);
    try {
      await navigator.clipboard.writeText(window.location.href);
      return "Link copied";
    } catch {
      return "Copy it from the address bar"; // no clipboard: not allowed, or not over https
    }
  }
  // A page whose link named a model that was not loaded: once it is, the same address is opened again.
  function again(loaded) {
    if (loaded) window.location.reload();
    return none();
  }

  register("attune", { address, copyAddress, currentTheme, initTheme: currentTheme, local, toggleTheme, wayBack });
  register("attune_linked", { again });
})();
