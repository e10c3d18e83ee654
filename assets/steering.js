// The Steering page in the browser: what the sliders say, at most one question in 60 ms, and texts that arrive token by
// token. Text goes in through textContent only. An aborted request stops the model at its next token.
(function () {
  const attune = window.dash_clientside.attune;
  const none = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);

  // ---- sliders ----
  let pending = null, latest = null, sent = 0;
  function later(value) {
    latest = value;
    if (pending) return;
    pending = setTimeout(() => {
      pending = null; sent = Date.now();
      set("steer", { data: latest });
    }, Math.max(0, 60 - (Date.now() - sent)));
  }
  const seen = new Map(), moved = new Map(); // moved: by a hand, since the rows were set
  const nameOf = (id) => JSON.stringify(id, Object.keys(id).sort());
  function values(ids, dragged, released, triggered) {
    const fresh = new Map(triggered.map((t) => [t.prop_id, t.value]));
    return ids.map((id, i) => {
      const key = nameOf(id);
      const drag = fresh.has(key + ".drag_value"), release = fresh.has(key + ".value");
      if (release || !seen.has(key) || (!drag && triggered.length > 2)) seen.set(key, released[i]);
      else if (drag && dragged[i] !== undefined && dragged[i] !== null) seen.set(key, dragged[i]);
      if (drag || release) moved.set(key, seen.get(key));
      return seen.get(key);
    });
  }
  // Everything that describes the intervention, as one plain object.
  attune.gather = function (sd, sv, fd, fv, mode, where, layers, rotation, fit, rows, sids, fids) {
    const triggered = window.dash_clientside.callback_context.triggered;
    // Until the sliders stand there, there is nothing to say; an empty list of regions is something.
    if (!fit || !rows || sids.length < rows.length) return none();
    const strengths = values(sids, sd, sv, triggered), factors = values(fids, fd, fv, triggered);
    const regions = sids.map((id, i) => ({ region: id.strength, strength: Number(strengths[i] || 0), factors: [] }));
    const at = new Map(regions.map((r) => [r.region, r]));
    fids.forEach((id, i) => { if (at.has(id.region)) at.get(id.region).factors[id.factor] = Number(factors[i] || 0); });
    const steer = { fit, regions, mode, where, layers: layers || [], rotation };
    const moved = triggered.some((t) => t.prop_id.endsWith(".drag_value"));
    if (moved) { later(steer); return none(); }
    latest = steer;
    return steer;
  };
  attune.moving = () => pending !== null;
  attune.rowsSet = function () { moved.clear(); return none(); };
  // The sliders as the server drew them, but where a hand has been meanwhile.
  attune.underHand = function (drawn) {
    const walk = (node) => {
      if (Array.isArray(node)) return node.map(walk);
      if (!node || typeof node !== "object" || !node.props) return node;
      const { id, children } = node.props, props = { ...node.props };
      if (id && typeof id === "object" && moved.has(nameOf(id)) && "value" in props) props.value = moved.get(nameOf(id));
      if (children !== undefined) props.children = walk(children);
      return { ...node, props };
    };
    return drawn === null || drawn === undefined ? none() : walk(drawn);
  };
  // Rows that no press has touched keep what a hand has made of them since the question was asked.
  attune.mergeAnswer("on-sliders", (done) => {
    const by = (rows) => new Map((rows || []).map((r) => [r.region, r]));
    const same = latest && done.state.length && latest.fit === done.state[0].fit;
    const start = by(done.start), now = by(same ? latest.regions : []);
    const values = (r) => JSON.stringify([r.strength, r.factors]);
    return done.state.map((row) => {
      const was = start.get(row.region), is = now.get(row.region);
      return was && is && values(was) === values(row) ? { ...row, strength: is.strength, factors: is.factors } : row;
    });
  });

  // ---- streams ----
  let running = null;
  const shade = (kl) => Math.min(1, Math.sqrt(kl / 3));
  function box(id) { return document.getElementById(id); }
  function clear(id) { const b = box(id); if (b) { b.replaceChildren(); b.classList.remove("attune-ended"); } }
  function add(id, piece) {
    const b = box(id);
    if (!b) return;
    const span = document.createElement("span");
    span.className = "attune-piece";
    span.textContent = piece.text;
    b.appendChild(span);
    b.scrollTop = b.scrollHeight;
  }
  function mark(id, from, kls, surprises) {
    const b = box(id);
    if (!b) return;
    kls.forEach((kl, i) => {
      const span = b.children[from + i];
      if (!span) return;
      span.style.setProperty("--shade", shade(kl));
      span.title = "KL to unsteered " + kl.toFixed(2) + " nats; surprise " + surprises[i].toFixed(2) + " nats unsteered";
    });
  }
  attune.stopStream = function (clicks) {
    if (!clicks || !running) return none();
    const it = running;
    running = null;
    it.controller.abort();
    fetch(attune.local("/steering/stop"), { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: it.token }) }).catch(() => {});
    set("stream-state", { children: "Stopped after " + it.count + " tokens." });
    set("stop", { disabled: true });
    return none();
  };
  attune.startStream = async function (asked, session) {
    if (!asked || !asked.params) return none();
    const params = JSON.stringify(asked.params);
    if (running && running.params === params && asked.turn === running.turn) return none();
    if (running) running.controller.abort();
    const token = window.crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
    const mine = (running = { controller: new AbortController(), token, params, turn: asked.turn, count: 0 });
    const alive = () => running === mine;
    ["base-text", "steered-text", "control-text"].forEach(clear);
    set("stop", { disabled: false });
    set("stream-error", { children: "" });
    set("stream-state", { children: "Waiting for the model …" });
    try {
      const response = await fetch(attune.local("/steering/stream"), { method: "POST", signal: mine.controller.signal,
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ session, token, params: asked.params }) });
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
        set("stream-state", { children: "" });
        set("stream-error", { children: "The text did not arrive: " + error.message + " Press Write to ask again." });
      }
    }
    if (alive()) { running = null; set("stop", { disabled: true }); }
    return none();
  };
  function take(line, mine) {
    if (line.piece) {
      add(line.piece.of + "-text", line.piece);
      if (line.piece.of === "steered") mine.count += 1;
      set("stream-state", { children: mine.count + " steered tokens, " + line.rate.toFixed(1) + " a second" });
    } else if (line.marks) {
      mark(line.marks.of + "-text", line.marks.start, line.marks.kl, line.marks.surprise);
    } else if (line.error) {
      set("stream-state", { children: "" });
      set("stream-error", { children: line.error });
    } else if (line.done) {
      set("written", { data: line });
      set("stream-state", { children: line.sentence });
    }
  }

  // ---- lists: one listener for all their buttons ----
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-choose], [data-add], [data-use]");
    if (!button) return;
    const { choose, add, use } = button.dataset;
    if (choose !== undefined) set("picked", { data: { region: Number(choose), turn: Date.now() } });
    if (add !== undefined) attune.press("on-sliders", { kind: "add", region: Number(add) });
    if (use !== undefined) attune.press("on-sliders", { kind: "use", context: use });
  });

  // ---- map of regions: a click carries the region's number in the point's customdata ----
  attune.mapClick = function (click) {
    const point = click && click.points && click.points[0];
    if (!point || point.customdata === undefined || point.customdata === null) return none();
    return Number(Array.isArray(point.customdata) ? point.customdata[0] : point.customdata);
  };
  // ---- download ----
  attune.saveBytes = function (file) {
    if (!file || !file.bytes) return none();
    const bytes = Uint8Array.from(atob(file.bytes), (c) => c.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    return none();
  };
})();
