// The MLP features page in the browser: one listener for all lists, clicks in figures, and texts that arrive token by
// token. Text goes in through textContent only. An aborted request stops the model at its next token.
(function () {
  const attune = window.dash_clientside.attune;
  const none = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  let turns = 0;
  const turn = () => (turns += 1);

  // ---- lists: one listener for all their buttons ----
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-mlp-feature], [data-mlp-member], [data-mlp-pair], [data-mlp-node]");
    if (!button) return;
    const { mlpFeature, mlpFit, mlpMember, mlpPair, mlpNode } = button.dataset;
    if (mlpFeature !== undefined) set("mlp-picked", { data: { feature: Number(mlpFeature), fit: mlpFit || null, turn: turn() } });
    if (mlpMember !== undefined) attune.press("mlp-members", { kind: "member", feature: Number(mlpMember) });
    if (mlpPair !== undefined) attune.press("mlp-members", { kind: "pair", pair: mlpPair.split(":").map(Number) });
    if (mlpNode !== undefined) set("mlp-node", { data: { node: mlpNode, turn: turn() } });
  });
  // Arrows walk through the list of features, as in a list box.
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest && event.target.closest(".mlp-list .mlp-row");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!row || !step) return;
    const rows = Array.from(row.closest(".mlp-list").querySelectorAll(".mlp-row"));
    const to = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(row) + step))];
    to.focus();
    event.preventDefault();
  });

  // ---- long lists, drawn here: as components of Dash they would be asked at every change of the page ----
  function element(kind, look, text) {
    const e = document.createElement(kind);
    if (look) e.className = look;
    if (text !== undefined) e.textContent = text;
    if (kind === "button") e.type = "button";
    return e;
  }
  const drawn = new WeakMap();
  function list(rows, chosen, members) {
    const host = document.getElementById("mlp-list");
    if (!host || !rows) return none();
    if (drawn.get(host) !== rows) {
      drawn.set(host, rows);
      host.replaceChildren(...rows.map((r) => {
        const line = element("div", "attune-region-row"), open = element("button", "mlp-row"), add = element("button", "attune-small");
        line.setAttribute("role", "listitem");
        open.append(element("span", "mlp-number", r.feature), element("span", "attune-row-label", r.label),
          element("span", "attune-row-number", r.auc), element("span", "attune-row-number mlp-quiet", r.active));
        open.dataset.mlpFeature = r.feature;
        open.title = "feature " + r.feature + ": " + r.top;
        add.dataset.mlpMember = r.feature;
        add.setAttribute("aria-label", "compare feature " + r.feature);
        line.append(open, add);
        return line;
      }));
      if (!rows.length) host.append(element("p", "attune-note", "No feature matches."));
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
    const line = element("div", "mlp-context");
    c.tokens.forEach((text, i) => {
      const span = element("span", "mlp-token", text);
      if (c.values[i] >= 0.01) span.style.setProperty("--shade", c.values[i]);
      span.title = Math.round(100 * c.values[i]) + " % of the feature's largest";
      if (i === c.at) span.classList.add("mlp-here");
      if (c.ids) {
        span.classList.add("attune-tok");
        span.dataset.tokenId = c.ids[i];
        span.tabIndex = i === c.at ? 0 : -1;
      }
      line.appendChild(span);
    });
    line.appendChild(element("span", "mlp-theme", c.theme));
    return line;
  }
  function contexts(data) {
    ["top", "random"].forEach((name) => {
      const host = document.getElementById("mlp-contexts-" + name);
      if (!host) return;
      host.replaceChildren(...((data && data[name]) || []).map(context));
      host.scrollTop = 0;
    });
    return none();
  }

  // ---- clicks in figures ----
  function node(click) {
    const point = click && click.points && click.points[0];
    const id = point && (Array.isArray(point.customdata) ? point.customdata[0] : point.customdata);
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

  // ---- texts ----
  let running = null;
  const box = (name) => document.getElementById("mlp-" + name + "-text");
  function add(piece) {
    const host = box(piece.of);
    if (!host) return;
    const span = document.createElement("span");
    span.className = "attune-piece";
    span.textContent = piece.text;
    host.appendChild(span);
    host.scrollTop = host.scrollHeight;
  }
  function mark(marks) {
    const host = box(marks.of);
    marks.kl.forEach((kl, i) => {
      const span = host && host.children[marks.start + i];
      if (!span) return;
      span.style.setProperty("--shade", Math.min(1, Math.sqrt(kl / 3)));
      span.title = "KL to unsteered " + kl.toFixed(2) + " nats; surprise " + marks.surprise[i].toFixed(2) + " nats unsteered";
    });
  }
  function take(line, mine) {
    if (line.piece) {
      add(line.piece);
      if (line.piece.of === "steered") mine.count += 1;
      set("mlp-stream-state", { children: mine.count + " steered tokens, " + line.rate.toFixed(1) + " a second" });
    } else if (line.marks) {
      mark(line.marks);
    } else if (line.error) {
      set("mlp-stream-state", { children: "" });
      set("mlp-stream-error", { children: line.error });
    } else if (line.done) {
      set("mlp-written", { data: line });
      set("mlp-stream-state", { children: line.sentence });
    }
  }
  function stop(clicks) {
    if (!clicks || !running) return none();
    const it = running;
    running = null;
    it.controller.abort();
    fetch(attune.local("/steering/stop"), { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: it.token }) }).catch(() => {});
    set("mlp-stream-state", { children: "Stopped after " + it.count + " tokens." });
    set("mlp-stop", { disabled: true });
    return none();
  }
  async function write(asked, session) {
    if (!asked || !asked.params || (running && running.turn === asked.turn)) return none();
    if (running) running.controller.abort();
    const token = window.crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
    const mine = (running = { controller: new AbortController(), token, turn: asked.turn, count: 0 });
    const alive = () => running === mine;
    ["base", "steered", "control"].forEach((name) => { const host = box(name); if (host) host.replaceChildren(); });
    set("mlp-stop", { disabled: false });
    set("mlp-stream-error", { children: "" });
    set("mlp-stream-state", { children: "Waiting for the model …" });
    try {
      const response = await fetch(attune.local("/steering/stream"), { method: "POST", signal: mine.controller.signal,
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ session, token, operation: asked.operation, params: asked.params }) });
      if (!response.ok || !response.body) throw new Error("The server answered " + response.status + ".");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done || !alive()) break;
        rest += value;
        const lines = rest.split("\n");
        rest = lines.pop();
        for (const line of lines) if (line && alive()) take(JSON.parse(line), mine);
      }
    } catch (error) {
      if (error.name !== "AbortError" && alive()) {
        set("mlp-stream-state", { children: "" });
        set("mlp-stream-error", { children: "The text did not arrive: " + error.message + " Press Write to ask again." });
      }
    }
    if (alive()) { running = null; set("mlp-stop", { disabled: true }); }
    return none();
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, { attune_features: { list, contexts, node, cell, write, stop } });
})();
