// A figure that is read from the back of a room: all its letters large, and what then does not fit given room. Numbers
// on an axis are thinned, for a reader fills them in, and so are the tokens of a prompt around a map of all its pairs, which
// is one picture; other names never are: of too many rows a part is shown at a time, with a sentence that says which. Heads of panels are wrapped, and panels widened until the words beside their points fit.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  /** Pixels of letters, the distance of two labels, the least height of a row with a name, and of words in a panel. */
  const FAR = 18, APART = 26, ROW = 22, WORDS = 16;
  /** Pixels that the numbers and the title of an axis take below it. */
  const BELOW = 56;
  const AXIS = /^([xyz])axis\d*$/;

  // ---- letters ----
  const atLeast = (font, size) => ({ ...font, size: Math.max(size, (font && font.size) || 0) });
  const titled = (title) => (title ? { ...(typeof title === "string" ? { text: title } : title),
    font: atLeast(title.font, FAR) } : title);
  /** Small letters within a text, which its own font does not reach. */
  const enlarged = (text) => String(text).replace(/font-size:\s*([\d.]+)px/g, (_, size) => "font-size:" + Math.max(WORDS, size) + "px");

  // ---- axes ----
  const NUMBER = /[-−]?\d+(?:\.\d+)?/g;
  /** Whether labels are names, each of which is needed; numbers in their order, and words counted through, are none. */
  function areNames(labels) {
    const written = labels.map((label) => String(label ?? "")).filter(Boolean);
    const numbers = written.map((label) => (label.match(NUMBER) || []).map((n) => Number(n.replace("−", "-"))));
    if (written.length < 2) return written.some((label) => !NUMBER.test(label));
    if (numbers.some((n) => n.length !== 1)) return true;
    const words = new Set(written.map((label) => label.replace(NUMBER, "")));
    const steps = numbers.slice(1).map(([n], i) => n - numbers[i][0]), close = (a, b) => Math.abs(a - b) < 1e-9 * Math.abs(b);
    if (words.size > 1 || !steps[0]) return true;
    return !steps.every((step) => (words.has("") ? step * steps[0] > 0 : close(step, steps[0])));
  }
  /** Whether labels are tokens in their order: each begins with its number, and none is left out. */
  function areTokens(labels) {
    const places = labels.map((label) => /^\d+(?= )/.exec(String(label)));
    return labels.length > 1 && places.every((place, i) => place && Number(place[0]) === Number(places[0][0]) + i);
  }
  /** Whether an axis, such as "y2", is that of a heatmap. */
  const isMap = (data, id) => data.some((trace) => trace.type === "heatmap" && (trace[id[0] + "axis"] || id[0]) === id);
  /** What traces have on an axis, such as "y2", where that is words. */
  function categories(data, id) {
    const values = data.filter((trace) => (trace[id[0] + "axis"] || id[0]) === id).flatMap((trace) => (Array.isArray(trace[id[0]]) ? trace[id[0]] : []));
    const words = Array.from(new Set(values.filter((value) => value !== null)));
    return words.some((value) => typeof value === "string" && Number.isNaN(Number(value)) && Number.isNaN(Date.parse(value))) ? words : [];
  }
  /**
   * An axis whose text is large, with as many numbers as then have room along `length` pixels, and all of its names;
   * `map`: of a heatmap, where tokens are thinned like numbers, and its title says so.
   */
  function far(axis, length, words = [], map = false) {
    const most = Math.max(2, Math.floor(length / APART));
    const large = { ...axis, tickfont: atLeast(axis.tickfont, FAR), title: titled(axis.title) };
    const labels = axis.ticktext || axis.tickvals || words;
    if (map && areTokens(labels)) {
      const step = Math.ceil(labels.length / most), { text } = large.title || {};
      delete large.nticks;
      if (axis.tickangle) large.tickangle = -60; // lower, and the large letters of neighbours touch
      if (step === 1) return Object.assign(large, axis.tickvals ? {} : { tickmode: "linear", tick0: 0, dtick: 1 });
      const some = (_, i) => i % step === 0;
      if (axis.tickvals) Object.assign(large, { tickvals: axis.tickvals.filter(some), ticktext: (axis.ticktext || axis.tickvals).filter(some) });
      else Object.assign(large, { tickmode: "linear", tick0: 0, dtick: step });
      const said = "one token in " + step + " is named";
      large.title = { ...titled(large.title || { text: "" }), text: text ? text + "; " + said : said };
      return large;
    }
    if (labels.length && areNames(labels)) {
      if (!axis.tickvals) Object.assign(large, { tickmode: "linear", tick0: 0, dtick: 1 });
      delete large.nticks;
      return large;
    }
    if (large.nticks) large.nticks = Math.min(large.nticks, most);
    if (typeof large.dtick === "number" && large.range && large.type !== "log") {
      const count = Math.abs(large.range[1] - large.range[0]) / large.dtick;
      if (count > most) large.dtick *= Math.ceil(count / most);
    }
    if (large.tickvals && large.tickvals.length > most) {
      const step = Math.ceil(large.tickvals.length / most), some = (_, i) => i % step === 0;
      large.tickvals = large.tickvals.filter(some);
      if (large.ticktext) large.ticktext = large.ticktext.filter(some);
    }
    return large;
  }
  function farAxes(layout, data, width, height) {
    Object.keys(layout).forEach((name) => {
      const axis = AXIS.exec(name);
      if (!axis || !layout[name]) return;
      const [low, high] = layout[name].domain || [0, 1];
      const id = name.replace("axis", "");
      layout[name] = far(layout[name], (high - low) * 0.8 * (axis[1] === "x" ? width : height), categories(data, id), isMap(data, id));
    });
  }

  // ---- before it is drawn ----
  /** Make a figure large, in place; `width` and `height` in pixels. */
  function enlarge({ data, layout }, width, height) {
    const usual = layout.template && layout.template.layout;
    layout.font = atLeast({ ...(usual || {}).font, ...layout.font }, FAR);
    farAxes(layout, data, width, height);
    if (usual) farAxes(usual, [], width, height);
    Object.keys(layout).filter((name) => /^scene\d*$/.test(name)).forEach((name) => {
      ["xaxis", "yaxis", "zaxis"].forEach((axis) => {
        layout[name][axis] = { nticks: 4, ...far(layout[name][axis] || {}, height) };
      });
    });
    (layout.annotations || []).forEach((note) => { note.font = atLeast(note.font, FAR); note.text = enlarged(note.text); });
    if (layout.legend) layout.legend.font = atLeast(layout.legend.font, FAR);
    const bars = [...data, ...Object.values(layout).filter((part) => part && part.colorbar)];
    bars.flatMap((part) => [part, part.marker]).filter((part) => part && part.colorbar).forEach((part) => {
      part.colorbar = { ...part.colorbar, tickfont: atLeast(part.colorbar.tickfont, FAR), title: titled(part.colorbar.title) };
    });
    data.forEach((trace) => {
      if (trace.textfont || trace.text) trace.textfont = atLeast(trace.textfont, WORDS);
      if (trace.mode !== "text" || !Array.isArray(trace.text)) return;
      // Words that stand beside the points of another trace keep off them, however narrow the panel gets.
      trace.text = trace.text.map((text, i) => (text && /right/.test([trace.textposition].flat()[i] || trace.textposition) ? "\u2002" + text : text));
    });
  }

  // ---- when it is drawn, and the lengths of its axes are known ----
  // What plotly knows of a figure that it has drawn; it has no other way to ask.
  const layoutOf = ({ _fullLayout: layout }) => layout;
  const tracesOf = ({ _fullData: traces }) => traces;
  const sizeOf = ({ _size: size }) => size;
  const lengthOf = ({ _length: length }) => length;
  const namesOf = ({ _categories: names }) => names;
  const pen = document.createElement("canvas").getContext("2d");
  const plain = (text) => String(text).replace(/<[^>]*>/g, "");
  function widthOf(text, size, family) {
    pen.font = (/<b>/.test(text) ? "bold " : "") + size + "px " + family;
    return Math.max(...String(text).split(/<br\s*\/?>/).map((line) => pen.measureText(plain(line)).width));
  }
  const isHead = (note) => note.xref === "paper" && note.yref === "paper" && note.y >= 0.98 && note.yanchor === "bottom";
  /** Lines of a text that fit into `room` pixels; tags stay where they are, for they hold across lines. */
  function wrapped(text, room, size, family) {
    return String(text).split(/<br\s*\/?>/).map((line) => line.split(/ (?![^<]*>)/).reduce((lines, word) => {
      const longer = lines.length ? lines[lines.length - 1] + " " + word : word, bold = line.includes("<b>") ? "<b>" : "";
      return lines.length && widthOf(bold + longer, size, family) <= room ? [...lines.slice(0, -1), longer] : [...lines, word];
    }, []).join("<br>")).join("<br>");
  }
  /** Heads of panels in as many lines as their panel asks for; gives the changes, and the pixels that the top gains. */
  function heads(full) {
    const changes = {}, notes = (full.annotations || []).map((note, i) => ({ note, i })).filter(({ note }) => isHead(note));
    let lines = 0;
    notes.forEach(({ note, i }) => {
      const next = Math.min(1, ...notes.map((other) => other.note.x).filter((x) => x > note.x));
      const text = wrapped(note.text, (next - note.x) * sizeOf(full).w - 10, note.font.size, note.font.family);
      if (text !== note.text) changes["annotations[" + i + "].text"] = text;
      lines = Math.max(lines, text.split("<br>").length);
    });
    const top = lines * FAR * 1.35 + 4, more = Math.max(0, top - sizeOf(full).t);
    if (more) changes["margin.t"] = top;
    return { changes, more };
  }
  /** Panels as wide in their numbers as the words beside points and bars ask for. */
  function wordsFit(plot) {
    const full = layoutOf(plot), changes = {};
    const words = tracesOf(plot).filter((trace) => trace.type === "scatter" && /text/.test(trace.mode) && trace.visible === true)
      .flatMap((trace) => Array.from(trace.x || [], (x, i) => ({ axis: trace.xaxis, x, text: [trace.text].flat()[i] || "", size: trace.textfont.size,
        place: Array.isArray(trace.textposition) ? trace.textposition[i] : trace.textposition })).filter(({ place }) => /right|left/.test(place || "")));
    (full.annotations || []).filter((note) => note.xref !== "paper" && note.xanchor === "left").forEach((note) => {
      words.push({ axis: note.xref, x: note.x, text: note.text, size: note.font.size, power: true, place: "right" });
    });
    new Set(words.map(({ axis }) => axis)).forEach((id) => {
      const name = id.replace("x", "xaxis"), axis = full[name];
      if (!axis || !["linear", "log"].includes(axis.type) || axis.range[0] > axis.range[1]) return;
      const length = lengthOf(axis), [low, high] = axis.range;
      // A log axis counts in powers; an annotation on it does so by itself.
      const beside = (place) => words.filter((word) => word.axis === id && word.place.includes(place)).map(({ x, text, size, power }) => ({
        x: axis.type === "log" && !power ? Math.log10(x) : x, wide: Math.min(widthOf(text, size, full.font.family) + 14, length * 0.6) }))
        .filter(({ x }) => Number.isFinite(x));
      const most = Math.max(high, ...beside("right").map(({ x, wide }) => low + (x - low) * length / (length - wide)));
      const least = Math.min(low, ...beside("left").map(({ x, wide }) => x - (most - x) * wide / (length - wide)));
      if (most > high || least < low) changes[name + ".range"] = [least, most];
    });
    return changes;
  }

  // ---- names in parts ----
  const KINDS = { x: "Columns", y: "Rows" };
  /** The parts in which an axis of names is shown: none where all fit into `length` pixels, and in a `map` of tokens. */
  function partsOf(name, axis, length, map) {
    const words = axis.type === "category" ? namesOf(axis) : axis.ticktext || axis.tickvals;
    if (!["category", "linear"].includes(axis.type) || !words || !areNames(words) || (map && areTokens(Array.from(words)))) return null;
    const [a, b] = axis.range, places = Array.from(words, (_, i) => (axis.type === "category" ? i : Number(axis.tickvals[i])));
    // From the top, or from the left: as it is read.
    const upwards = a < b, sign = upwards === (name[0] === "x") ? 1 : -1;
    const seen = places.filter((at) => at >= Math.min(a, b) && at <= Math.max(a, b)).sort((p, q) => (p - q) * sign);
    const lines = name[0] === "y" ? Math.max(...words.map((word) => String(word).split("<br>").length)) : 1;
    const most = Math.max(2, Math.floor(length / (ROW * lines)));
    if (seen.length <= most) return null;
    const count = Math.ceil(seen.length / most), size = Math.ceil(seen.length / count);
    const half = Math.abs(seen[1] - seen[0]) / 2;
    const ranges = Array.from({ length: count }, (_, part) => {
      const from = Math.min(part * size, seen.length - size), ends = [seen[from], seen[from + size - 1]].sort((p, q) => p - q);
      const range = [ends[0] - half, ends[1] + half];
      return { range: a > b ? range.reverse() : range, words: KINDS[name[0]] + " " + (from + 1) + " to " + (from + size) + " of " + seen.length };
    });
    return { name, ranges };
  }
  /**
   * Give a drawn figure the room that its large letters need. `said`: the button that says which part of the names is
   * shown, hidden where all are; to press it shows the next part.
   */
  async function fit(library, plot, said) {
    const full = layoutOf(plot), { changes, more } = heads(full);
    Object.assign(changes, wordsFit(plot));
    const axes = Object.keys(full).filter((name) => /^[xy]axis\d*$/.test(name) && lengthOf(full[name]) && !full[name].matches);
    let lines = 1;
    axes.forEach((name) => {
      // Plotly itself has a title for each axis, with words that are shown to editors only.
      const { font } = full[name].title, { text } = (plot.layout[name] || {}).title || {};
      const title = text ? wrapped(text, lengthOf(full[name]), font.size, font.family) : text;
      if (title !== text) changes[name + ".title.text"] = title;
      if (title && name[0] === "x") lines = Math.max(lines, title.split("<br>").length);
    });
    const { legend } = full;
    if (full.showlegend && legend && legend.y < 0 && legend.yanchor === "top") changes["legend.y"] = -(BELOW + (lines - 1) * FAR * 1.35) / (sizeOf(full).h - more);
    const parted = axes.map((name) => {
      const length = lengthOf(full[name]), [low, high] = full[name].domain;
      return partsOf(name, full[name], name[0] === "y" ? length - more * (high - low) : length, isMap(tracesOf(plot), name.replace("axis", "")));
    }).filter(Boolean);
    const parts = (axis) => Math.max(1, ...parted.filter(({ name }) => name[0] === axis).map(({ ranges }) => ranges.length));
    const across = parts("x"), count = across * parts("y");
    let at = 0;
    const ranged = () => Object.fromEntries(parted.map(({ name, ranges }) => {
      const part = ranges[Math.min(ranges.length - 1, name[0] === "x" ? at % across : Math.floor(at / across))];
      return [name + ".range", part.range];
    }));
    const sentence = () => Array.from(new Set(parted.map(({ name, ranges }) =>
      ranges[Math.min(ranges.length - 1, name[0] === "x" ? at % across : Math.floor(at / across))].words))).join(", ") + " · ↓ shows the next";
    said.hidden = !parted.length;
    said.textContent = parted.length ? sentence() : "";
    said.onclick = null;
    if (parted.length) said.onclick = ({ by = 1 }) => {
      at = (at + by + count) % count;
      said.textContent = sentence();
      return library.relayout(plot, ranged());
    };
    Object.assign(changes, ranged());
    if (Object.keys(changes).length) await library.relayout(plot, changes);
  }
  /** Show the next part of the names of each figure in an element, or the one before. Gives whether there is any. */
  function turn(host, by) {
    const buttons = Array.from(host.querySelectorAll(".attune-exhibit-rows:not([hidden])"));
    buttons.forEach((button) => button.onclick({ by }));
    return buttons.length > 0;
  }
  const rows = () => element("button", { type: "button", class: "attune-exhibit-rows", hidden: true });

  // ---- a control in one glance ----
  const LONG = 160; // letters
  /** The first sentence of a text, of a long one what stands before its first semicolon, and whether more follows. */
  function first(text) {
    const end = /[.!?](?=\s+[A-Z0-9“"])/.exec(text), sentence = end ? text.slice(0, end.index + 1) : text;
    const half = sentence.length > LONG ? sentence.indexOf("; ") : -1;
    return half > 0 ? { text: sentence.slice(0, half) + " …", more: true } : { text: sentence, more: Boolean(end) };
  }

  register("attune_far", { areNames, enlarge, first, fit, rows, turn });
})();
