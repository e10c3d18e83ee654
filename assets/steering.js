// The Steering page in the browser: what the sliders say, at most one question in 60 ms, its lists, map and downloads.
(function () {
  const { byId, bytesOf, download, none, on, pickedFirst, read, register, same, save, set, triggered,
    whenChanged } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;

  // ---- sliders ----
  let pending = null, latest = null, sent = 0;
  function later(value) {
    latest = value;
    if (pending) return;
    pending = setTimeout(() => {
      pending = null; sent = Date.now();
      save("steer", latest);
    }, Math.max(0, 60 - (Date.now() - sent)));
  }
  const seen = new Map(), moved = new Map(); // moved: by a hand, since the rows were set
  const nameOf = (id) => JSON.stringify(id, Object.keys(id).sort());
  function values(ids, dragged, released) {
    const changed = triggered(), fresh = new Map(changed.map((t) => [t.prop_id, t.value]));
    return ids.map((id, i) => {
      const key = nameOf(id);
      const drag = fresh.has(key + ".drag_value"), release = fresh.has(key + ".value");
      if (release || !seen.has(key) || (!drag && changed.length > 2)) seen.set(key, released[i]);
      else if (drag && dragged[i] !== undefined && dragged[i] !== null) seen.set(key, dragged[i]);
      if (drag || release) moved.set(key, seen.get(key));
      return seen.get(key);
    });
  }
  let gateSaid = "";
  // When steering acts, of the five controls; a number that cannot be used is said, and the set-up stays as it was.
  function gateOf([after, kind, region, side, value], where, first) {
    const whole = (n) => Number.isInteger(n) && n >= 0, words = [], chosen = {};
    const wrong = (said) => ({ wrong: true, words: said });
    if (!whole(after) || after > 4000) return wrong("“From written token” must be a whole number from 0 to 4,000.");
    if (after && where === "prompt") return wrong("The prompt is read before any token is written: set “From written token” to 0.");
    if (after) { chosen.after = after; words.push("after " + after + " written tokens"); }
    if (kind !== "none") {
      const number = region === null || region === undefined || region === "" ? first : region;
      if (!whole(number)) return wrong("The gate reads a region by its number. Put one on the sliders, or type it.");
      if (typeof value !== "number" || !(Math.abs(value) <= 1000)) return wrong("The value of the gate must be a number from -1,000 to 1,000.");
      chosen.gate = { kind, region: number, side, value };
      const what = kind === "responsibility" ? "responsibility of" : "projection on the direction of";
      words.push("while the " + what + " region " + number + " is " + side + " " + value);
    }
    return { set: chosen, words: words.length ? "Steers only " + words.join(", and ") + "." : "" };
  }
  // Everything that describes the intervention, as one plain object.
  function gather(sd, sv, fd, fv, mode, where, layers, own, rotation, after, kind, read, side, value, times, fit, rows, sids, fids, vids) {
    // Until the sliders stand there, there is nothing to say; an empty list of regions is something.
    if (!fit || !rows || sids.length < rows.length) return none();
    const strengths = values(sids, sd, sv), factors = values(fids, fd, fv);
    const regions = sids.map((id, i) => ({ region: id.strength, strength: Number(strengths[i] || 0), factors: [] }));
    const at = new Map(regions.map((r) => [r.region, r]));
    fids.forEach((id, i) => { if (at.has(id.region)) at.get(id.region).factors[id.factor] = Number(factors[i] || 0); });
    const steer = { fit, regions, mode, where, layers: layers || [], rotation };
    const vectors = vids.map((id, i) => ({ name: id.vector, strength: Number(times[i] || 0) })).filter((v) => v.strength);
    if (vectors.length) steer.vectors = vectors;
    const gate = gateOf([after, kind, read, side, value], where, regions.length ? regions[0].region : null);
    if (gate.words !== gateSaid) set("gate-said", { children: (gateSaid = gate.words) });
    if (gate.wrong) return none();
    Object.assign(steer, gate.set);
    // Without a block of its own or another nothing would be steered, so the fit's own stays on.
    if (own === false && (steer.layers.length || vectors.length)) steer.own = false;
    if (triggered().some((t) => t.prop_id.endsWith(".drag_value"))) { later(steer); return none(); }
    latest = steer;
    return steer;
  }
  function rowsSet() { moved.clear(); return none(); }
  // The sliders as the server drew them, but where a hand has been meanwhile.
  function underHand(drawn) {
    const walk = (node) => {
      if (Array.isArray(node)) return node.map(walk);
      if (!node || typeof node !== "object" || !node.props) return node;
      const { id, children } = node.props, props = { ...node.props };
      if (id && typeof id === "object" && moved.has(nameOf(id)) && "value" in props) props.value = moved.get(nameOf(id));
      if (children !== undefined) props.children = walk(children);
      return { ...node, props };
    };
    return drawn === null || drawn === undefined ? none() : walk(drawn);
  }
  // Rows that no press has touched keep what a hand has made of them since the question was asked.
  attune.mergeAnswer("on-sliders", (done) => {
    const by = (rows) => new Map((rows || []).map((r) => [r.region, r]));
    const current = latest && done.state.length && latest.fit === done.state[0].fit;
    const start = by(done.start), now = by(current ? latest.regions : []);
    const held = (r) => JSON.stringify([r.strength, r.factors]);
    return done.state.map((row) => {
      const was = start.get(row.region), is = now.get(row.region);
      return was && is && held(was) === held(row) ? { ...row, strength: is.strength, factors: is.factors } : row;
    });
  });

  // ---- what was found for a set-up: its sentence leaves with what it was about ----
  const found = {}; // by what was looked for: about which set-up, and which strength it set
  function about(steer, region, values) {
    const regions = ((steer && steer.regions) || []).map((r) => (r.region === region ? { ...r, strength: null } : r));
    return JSON.stringify([{ ...steer, regions }, values]);
  }
  const strengthOf = (steer, region) => ((steer && steer.regions) || []).filter((r) => r.region === region).map((r) => r.strength)[0];
  let written = null; // about what the ladder was asked whose texts show where they break
  function foundFor(reached, asked, limit, steer, ...values) {
    triggered().forEach(({ prop_id, value }) => {
      if (!value) return;
      // A strength for a KL is about prompt and template; where a text breaks depends on how it is written, too.
      if (prop_id.startsWith("reached")) {
        found.target = { region: value.region, count: 2, about: about(steer, value.region, values.slice(0, 2)),
          strength: value.strength, stands: false };
      } else if (prop_id.startsWith("ask-ladder")) {
        const region = value.params.region;
        written = value.limit ? { region, count: values.length, about: about(steer, region, values), strength: null } : null;
      } else if (written) found.limit = written;
    });
    return none();
  }
  function holds(one, steer, values) {
    if (one.about !== about(steer, one.region, values.slice(0, one.count))) return false;
    if (one.strength === null) return true;
    const there = Math.abs(strengthOf(steer, one.region) - one.strength) < 0.006; // a slider has steps
    if (there) one.stands = true;
    return there || !one.stands; // until the slider stands there, it is under way
  }
  function forgetFound(steer, ...values) {
    const leaves = (name) => {
      const one = found[name];
      if (one && holds(one, steer, values)) return false;
      delete found[name];
      return true;
    };
    const target = leaves("target") && read("target-said", "children") ? "" : none();
    const gone = leaves("limit");
    return [target, gone && read("limit-said", "children") ? "" : none(), gone && read("limit", "data") ? null : none()];
  }

  // ---- the picker of the first screen shows the first region on the sliders ----
  function pickOf(rows, options) {
    const region = rows && rows.length ? rows[0].region : null;
    return (options || []).some((o) => o.value === region) ? region : null;
  }
  function pickRegion(region, rows) {
    if (region === null || region === undefined || (rows && rows.length && rows[0].region === region)) return none();
    attune.press("on-sliders", { kind: "only", region });
    save("chosen-region", region);
    return none();
  }

  // Dash gives the focus to the option that is chosen; here one types a word first.
  on("click", "#region-pick", () => {
    let left = 40, stays = 0; // looks; those at which it has the focus already
    const look = () => {
      const search = document.querySelector(".dash-dropdown-search");
      if (search && document.activeElement === search) stays += 1;
      else if (search) search.focus({ preventScroll: true });
      left -= 1;
      if (left && stays < 2) setTimeout(look, 50);
    };
    look();
  });

  // ---- lists: one listener for all their buttons ----
  on("click", "[data-choose], [data-add], [data-use]", (button) => {
    const { choose, add, use } = button.dataset;
    if (choose !== undefined) {
      save("chosen-region", Number(choose));
      attune.press("on-sliders", { kind: "choose", region: Number(choose) });
    }
    if (add !== undefined) attune.press("on-sliders", { kind: "add", region: Number(add) });
    if (use !== undefined) attune.press("on-sliders", { kind: "use", context: use });
  });

  // The row of the region whose card is open. It is marked here, for a list that came anew would lose its place.
  let chosen = null;
  function mark() {
    const host = byId("region-list");
    if (!host) return;
    host.querySelectorAll("[data-choose]").forEach((row) => {
      const here = Number(row.dataset.choose) === chosen;
      if (here === (row.getAttribute("aria-current") === "true")) return;
      row.classList.toggle("attune-region-chosen", here);
      row.setAttribute("aria-current", here ? "true" : "false");
      if (!here) return;
      const at = row.getBoundingClientRect(), box = host.getBoundingClientRect();
      if (at.bottom > box.bottom) host.scrollTop += at.bottom - box.bottom;
      if (at.top < box.top) host.scrollTop -= box.top - at.top;
    });
  }
  whenChanged(() => { if (chosen !== null) mark(); }, { childList: true, subtree: true });
  function markChosen(region) {
    chosen = region;
    mark();
    return none();
  }

  // A click on the map of regions carries the region's number in the point's customdata.
  function mapClick(click) {
    const region = pickedFirst(click);
    if (region === undefined || region === null) return none();
    attune.press("on-sliders", { kind: "choose", region: Number(region) });
    return Number(region);
  }
  // A cell of a sweep, onto the controls: its region alone, its strength and factors, and the block at which it acts.
  function takeCell(click, cells) {
    const point = click && click.points && click.points[0];
    if (!point || !cells) return none();
    const r = Math.round(point.y), c = Math.round(point.x), { axes, fit, layer, model, region } = cells;
    if (fit !== read("region-fit", "value") || !same(model, read("model", "data"))) {
      return "This sweep is of the fit “" + fit + "” of " + model.source + ". Open that one to take a cell of it.";
    }
    const strength = (cells.strength[r] || [])[c];
    if (strength === null || strength === undefined) return "The KL is not reached in this cell.";
    const row = cells.rows[r], column = cells.columns[c], factors = [];
    if (cells.over === "factors") {
      for (let n = 0; n <= Math.max(...axes); n += 1) factors.push(n === axes[0] ? row : n === axes[1] ? column : 0);
    }
    const own = cells.over === "factors" || row === layer;
    set("mode", { value: cells.mode });
    set("layers", { value: own ? [] : [row] });
    set("own-block", { value: own });
    set("where", { value: cells.where });
    set("gate-kind", { value: "none" }); // a cell is measured without a gate
    set("gate-after", { value: 0 });
    attune.press("on-sliders", { kind: "only", region, strength, factors });
    const place = cells.over === "blocks" ? "block " + row : "factors at " + row + " and " + column;
    return "On the sliders: region " + region + " at strength " + strength + ", " + place + ".";
  }
  function saveBytes(file) {
    if (file && file.bytes) download(file.name, "application/octet-stream", bytesOf(file.bytes));
    return none();
  }

  // ---- the ladder: a box for each rung, with what it is and a press that takes it ----
  const RUNGS = [0, 1, 2, 3, 4, 5, 6, 7];
  function drawRungs({ rungs, region }) {
    save("ladder-region", region);
    RUNGS.forEach((n) => {
      const rung = rungs[n];
      set("ladder-rung-" + n, { hidden: !rung });
      if (!rung) return;
      const missed = rung.met ? "" : " (" + rung.target + " is not reached)";
      set("ladder-rung-" + n + "-head", { children: rung.strength.toFixed(2) + " · KL " + rung.kl.toFixed(2) + missed });
      save("ladder-strength-" + n, Math.round(rung.strength * 1000) / 1000);
    });
  }
  const { paint, stop, write } = attune.writer("");
  const ladder = attune.writer("ladder-", ["base", ...RUNGS.map((n) => "rung-" + n)], drawRungs);
  register("attune", {
    forgetFound, foundFor, gather, mapClick, markChosen, paintTexts: paint, pickOf, pickRegion, rowsSet, saveBytes,
    startLadder: ladder.write, startStream: write, stopLadder: ladder.stop, stopStream: stop, takeCell, underHand,
  });
})();
