// The MLP features page in the browser: one listener for all lists, the long lists themselves, and clicks in figures.
(function () {
  const { byId, element, list, none, on, pickedFirst, register, save, turn, walk } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;

  on("click", "[data-mlp-feature], [data-mlp-member], [data-mlp-pair], [data-mlp-node]", (button) => {
    const { mlpFeature, mlpFit, mlpMember, mlpPair, mlpNode } = button.dataset;
    if (mlpFeature !== undefined) save("mlp-picked", { feature: Number(mlpFeature), fit: mlpFit || null, turn: turn() });
    if (mlpMember !== undefined) attune.press("mlp-members", { kind: "member", feature: Number(mlpMember) });
    if (mlpPair !== undefined) attune.press("mlp-members", { kind: "pair", pair: mlpPair.split(":").map(Number) });
    if (mlpNode !== undefined) save("mlp-node", { node: mlpNode, turn: turn() });
  });
  walk(".mlp-list", ".mlp-row");

  // ---- long lists, drawn here: as components of Dash they would be asked at every change of the page ----
  const drawn = new WeakMap(); // by host: the rows that it shows
  const line = (r) => element("div", { class: "attune-region-row", role: "listitem" },
    element("button", { class: "mlp-row", type: "button", "data-mlp-feature": r.feature, title: "feature " + r.feature + ": " + r.top },
      element("span", { class: "mlp-number" }, r.feature), element("span", { class: "attune-row-label" }, r.label),
      element("span", { class: "attune-row-number" }, r.auc), element("span", { class: "attune-row-number mlp-quiet" }, r.active)),
    element("button", { class: "attune-small", type: "button", "data-mlp-member": r.feature,
      "aria-label": "compare feature " + r.feature }));
  function features(rows, chosen, members) {
    const host = byId("mlp-list");
    if (!host) return none();
    if (!rows) {
      drawn.delete(host);
      host.replaceChildren(); // no fit is open
      return none();
    }
    if (drawn.get(host) !== rows) {
      drawn.set(host, rows);
      list(host, rows.length ? rows.map(line) : [element("p", { class: "attune-note", role: "listitem" }, "No feature matches.")]);
    }
    const inside = new Set(members || []);
    host.querySelectorAll(".mlp-row").forEach((open) => {
      const feature = Number(open.dataset.mlpFeature), here = feature === chosen, add = open.nextSibling;
      open.classList.toggle("attune-region-chosen", here);
      open.setAttribute("aria-current", here ? "true" : "false");
      add.textContent = inside.has(feature) ? "−" : "+";
      add.title = inside.has(feature) ? "Take out of the comparison" : "Compare its neurons with others";
    });
    return none();
  }
  // Each token shaded by the feature's activation; the one that the context was chosen for has a frame.
  function context(c) {
    const tokens = c.tokens.map((text, i) => element("span", {
      class: "mlp-token" + (i === c.at ? " mlp-here" : "") + (c.ids ? " attune-tok" : ""),
      title: Math.round(100 * c.values[i]) + " % of the feature's largest",
      "data-token-id": c.ids && c.ids[i], tabindex: c.ids ? (i === c.at ? 0 : -1) : null,
      style: c.values[i] >= 0.01 ? { "--shade": c.values[i] } : {},
    }, text));
    return element("div", { class: "mlp-context" }, tokens, element("span", { class: "mlp-theme" }, c.theme));
  }
  function contexts(data) {
    ["top", "random"].forEach((name) => {
      const host = byId("mlp-contexts-" + name);
      if (!host) return;
      host.replaceChildren(...((data && data[name]) || []).map(context));
      host.scrollTop = 0;
    });
    return none();
  }

  // ---- clicks in figures ----
  function node(click) {
    const id = pickedFirst(click);
    return typeof id === "string" && /^\d+:\d+$/.test(id) ? { node: id, turn: turn() } : none();
  }
  // Dash does not pass on the customdata of a heatmap's cell, so the row is looked up in the figure.
  function cell(click, figure) {
    const point = click && click.points && click.points[0];
    if (!point || !figure || !figure.data[0]) return none();
    const trace = figure.data[0], at = trace.y.indexOf(point.y);
    const row = at < 0 ? null : trace.customdata[at];
    return row ? { feature: row[0], fit: null, turn: turn() } : none();
  }

  const { paint, stop, write } = attune.writer("mlp-");
  register("attune_features", { cell, contexts, list: features, node, paint, stop, write });
})();
