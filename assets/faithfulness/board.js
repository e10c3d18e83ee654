// The comparing tabs of the Faithfulness page in the browser: opening items from figures and lists, one tier for three
// tabs, and thresholds, which take counting only.
(function () {
  const { download, escape, none, on, pickedFirst, register, save, set, triggeredId, turn } = window.dash_clientside.attune_kit;

  // ---- items and studies ----
  function open(click, points) {
    const item = pickedFirst(click);
    return typeof item === "string" && points ? { item, study: points.study, n: turn() } : none();
  }
  on("click", "[data-fthb-study]", (button) => {
    const { fthbStudy, fthbItem, fthbTab } = button.dataset;
    if (fthbItem) save("fth-open", { item: fthbItem, study: fthbStudy, n: turn() });
    else save("fth-study", fthbStudy);
    if (fthbTab) set("fth-tab", { active_tab: fthbTab });
  });
  // "default" stands for the bundled study in the list, where "" cannot.
  function study(picked, now) {
    const name = picked === "default" ? "" : picked;
    if (name !== null && name !== undefined && name !== (now || "")) save("fth-study", name);
    return none();
  }
  function made(answer) {
    // Whoever has gone on to another tab may be writing there: the study waits behind its button.
    const here = document.querySelector("#fth-tab .nav-link.active");
    if (answer && answer.study && here && here.textContent === "Studies") save("fth-study", answer.study);
    return none();
  }

  function rows(file) {
    if (file && file.text) download(file.name, "text/csv;charset=utf-8", file.text);
    return none();
  }

  // Typed rows come before a file, and a file is only read where there are none.
  function reads(text, contents) {
    return contents && text && text.trim() ? "The box above has rows: they are measured, and not the file." : "";
  }
  // A file that is too large never comes to the server, so the browser has to say that it was left.
  function weigh(event) {
    const there = event.target.closest && event.target.closest("[data-fthb-most]");
    const file = there && (event.target.files || (event.dataTransfer && event.dataTransfer.files) || [])[0];
    if (!file || file.size <= Number(there.dataset.fthbMost)) return;
    set("fth-file-upload", { contents: null });
    set("fth-file-chosen", { children: file.name.slice(0, 80) + ": " + there.dataset.fthbRefused + ". Split it." });
  }
  ["change", "drop"].forEach((what) => document.addEventListener(what, weigh, true));

  // ---- one tier for the tabs that show items ----
  const TABS = ["truth", "bias", "scores"];
  function tier(truth, bias, scores, now) {
    const id = triggeredId();
    const values = { truth, bias, scores };
    const changed = TABS.find((t) => id === "fth-" + t + "-tier");
    const value = changed ? values[changed] : truth;
    if (!value) return none();
    TABS.filter((t) => values[t] !== value).forEach((t) => set("fth-" + t + "-tier", { value }));
    return value === now ? none() : value;
  }

  // ---- thresholds ----
  const NAMED = (base) => Object.keys((base && base.own) || {});
  const at = (base, moved, name) => (name in (moved || {}) ? moved[name] : base.own[name]);
  // Where the slider stands for a measure, or for all; and what it says.
  function standing(base, moved, of) {
    if (of !== "all" && of in base.own) {
      const value = at(base, moved, of);
      return [value, "≥ " + value.toFixed(2)];
    }
    const values = NAMED(base).map((n) => at(base, moved, n)).sort((a, b) => a - b);
    if (!values.length) return [0.5, ""];
    const middle = values[Math.floor(values.length / 2)];
    return [middle, values[0] === values[values.length - 1] ? "≥ " + middle.toFixed(2) : "each its own"];
  }
  function thresholds(slider, of, _reset, base, moved) {
    if (!base || !base.own) return [none(), none(), ""];
    const id = triggeredId();
    let next = moved || {};
    if (id === "fth-bias-reset") next = {};
    else if (id === "fth-bias-threshold" && typeof slider === "number") {
      next = Object.assign({}, next);
      (of !== "all" && of in base.own ? [of] : NAMED(base)).forEach((n) => (next[n] = slider));
    }
    const [value, said] = standing(base, next, of);
    return [next === moved ? none() : next, value === slider ? none() : value, said];
  }

  // Cohen's kappa of two lists of calls (1, 0, or null where there is no score); null where it is not defined.
  function kappa(a, b) {
    let n = 0, same = 0, yesA = 0, yesB = 0;
    for (let i = 0; i < a.length; i += 1) {
      if (a[i] === null || b[i] === null) continue;
      n += 1; same += a[i] === b[i] ? 1 : 0; yesA += a[i]; yesB += b[i];
    }
    if (!n) return null;
    const chance = (yesA * yesB + (n - yesA) * (n - yesB)) / (n * n);
    return chance >= 1 ? null : (same / n - chance) / (1 - chance);
  }
  const digits = (v) => {
    if (v === null) return "";
    const text = Math.abs(v).toFixed(2), sign = v < 0 && Number(text) ? "−" : "";
    return sign + (text.startsWith("1") ? text : text.slice(1));
  };
  const percent = (v) => Math.round(100 * v) + "%";
  const short = (v) => String(Number(v.toPrecision(2))).replace("-", "−");

  function bias(base, moved, points) {
    if (!base) return [none(), none(), none(), none(), none(), none(), none()];
    const card = (content, figure, facts) => [figure, content.caption, content.ref && { ...content.ref,
      options: { ...content.ref.options, thresholds: moved || {} }, facts: { ...content.ref.facts, ...facts } }];
    const blank = [base.bias.figure, "", null, base.kappa.figure, "", null, ""];
    if (!base.of || !points || !points.scores || points.study !== base.of[0] || points.tier !== base.of[1]) return blank;
    const level = {}, calls = {}, shares = {};
    NAMED(base).forEach((name) => {
      level[name] = at(base, moved, name);
      calls[name] = (points.scores[name] || []).map((s) => (s === null ? null : s >= level[name] ? 1 : 0));
      const known = calls[name].filter((c) => c !== null);
      shares[name] = known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    });
    const counted = {};
    Object.keys(calls).forEach((name) => { counted[name] = calls[name].filter((c) => c !== null).length; });
    const count = (name) => counted[name], most = Math.max(0, ...Object.values(counted));
    const figure = structuredClone(base.bias.figure), traces = figure.data || [];
    if (traces.length > 1) {
      const names = traces[0].customdata.map((c) => c[0]);
      traces.forEach((trace, k) => {
        trace.x = names.map((n) => (k ? 1 - shares[n] : shares[n]));
        trace.text = k ? names.map(() => "") : names.map((n) => percent(shares[n]));
      });
      names.forEach((n, i) => {
        figure.layout.annotations[i].text = percent(shares[n]);
        figure.layout.yaxis.ticktext[traces[0].y[i]] = escape(n) + "  ≥ " + short(level[n]) +
          (count(n) < most ? " (n = " + count(n) + ")" : "");
      });
    }
    const map = structuredClone(base.kappa.figure), cells = map.data && map.data[0], agreement = { thresholds: level };
    if (cells && cells.z) {
      const down = base.names.slice(1), across = base.names.slice(0, -1);
      cells.z = down.map((a, i) => across.map((b, j) => (j <= i ? kappa(calls[a], calls[b]) : null)));
      cells.text = cells.z.map((row) => row.map(digits));
      const empty = cells.z.some((row, i) => row.slice(0, i + 1).some((v) => v === null));
      const notes = map.layout.annotations;
      if (notes && notes[0]) {
        notes[0].text = "0: as often alike as by chance" +
          (empty ? "<br>empty: both call every chain alike, or share none" : "");
      }
      agreement.kappa = { measures: base.names, below_the_diagonal: cells.z };
    }
    const labels = points.label.filter((l) => l !== null), of = points.item.length;
    // What was run on a few items says nothing about all of them.
    const nearlyAll = (n) => count(n) >= 0.9 * most;
    const found = base.names.filter(nearlyAll).map((n) => shares[n]).filter((v) => v !== null);
    const rest = base.names.filter((n) => count(n) && !nearlyAll(n)).map((n) => n + " (n = " + count(n) + ")");
    const few = found.filter((v) => v < 0.1).length, nearly = found.filter((v) => v > 0.9).length;
    const truth = labels.length ? " " + percent(labels.filter((l) => l).length / labels.length) + " are labelled so." : "";
    const said = found.length ? few + " of " + found.length + " measures call under 10% of these " + of +
      " items faithful, " + nearly + " over 90%." + truth + (rest.length ? " Not counted: " + rest.join(", ") + "." : "") : "";
    const called = { thresholds: level, called: shares, counted };
    return [...card(base.bias, figure, called), ...card(base.kappa, map, agreement), said];
  }

  register("attune_faithboard", { open, study, made, reads, rows, tier, thresholds, bias });
})();
