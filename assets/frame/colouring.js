// The colours of written tokens and what a press on one of them asks. A token's numbers stay here, not in attributes:
// the choice of a colouring only paints again. Scales are those of components/kit/colouring.py.
(function () {
  const { byId, element, none, on, read, register, save, set, turn } = window.dash_clientside.attune_kit;
  const SCALES = {
    kl: { words: "KL to unsteered", unit: " nats", top: 3, root: true },
    surprise: { words: "surprise, unsteered model", unit: " nats", top: 10 },
  };
  const CHOICES = [
    { label: "KL to the unsteered model", value: "kl" },
    { label: "surprise of the unsteered model", value: "surprise" },
  ];
  const shade = (scale, value) => {
    const share = Math.min(1, Math.max(value, 0) / scale.top);
    return scale.root ? Math.sqrt(share) : share;
  };
  const number = (value, unit) => value.toFixed(value !== 0 && Math.abs(value) < 0.1 ? 3 : 2) + unit;

  /** The colours of the texts of one writer, whose elements begin with `prefix`; `box(of)` is the box of a text. */
  function colours(prefix, box) {
    let texts = {}, readings = [], before = { ids: [], asked: null };
    const text = (of) => (texts[of] = texts[of] || { ids: [], kl: [], surprise: [], begin: 0 });
    const choice = () => {
      const chosen = (byId(prefix + "colour") && read(prefix + "colour", "value")) || "kl";
      return scaleOf(chosen) ? chosen : "kl";
    };
    function scaleOf(chosen) {
      if (SCALES[chosen]) return SCALES[chosen];
      const reading = readings[Number(chosen.slice(8))];
      return reading && { words: reading.name, unit: "", top: reading.top };
    }
    const valuesOf = (of, chosen) => (SCALES[chosen] ? text(of)[chosen] : readings[Number(chosen.slice(8))][of]) || [];
    function paint(of, from = 0) {
      const host = box(of);
      if (!host) return;
      const chosen = choice(), scale = scaleOf(chosen), values = valuesOf(of, chosen), mine = text(of);
      for (let i = from; i < host.children.length; i += 1) {
        const span = host.children[i], value = values[i];
        span.style.setProperty("--shade", value === undefined ? 0 : shade(scale, value));
        const said = [];
        if (mine.kl[i] !== undefined) {
          said.push("KL to unsteered " + number(mine.kl[i], " nats"), "surprise " + number(mine.surprise[i], " nats") + " unsteered");
        }
        readings.forEach((r) => { if (r[of] && r[of][i] !== undefined) said.push(r.name + " " + number(r[of][i], "")); });
        span.title = said.join("; ");
      }
    }
    function legend() {
      const host = byId(prefix + "colour-legend");
      if (!host) return;
      const scale = scaleOf(choice()), parts = [0, 0.05, 0.2, 0.5, 1].map((share) => share * scale.top);
      host.replaceChildren(...parts.map((value, i) => element("span", {
        class: "attune-piece attune-swatch", style: { "--shade": shade(scale, value) },
      }, (i === 4 && scale.top !== 1 ? "≥ " : "") + String(Math.round(value * 1000) / 1000))), element("span", {}, scale.unit.trim()));
    }
    const paintAll = () => { legend(); Object.keys(texts).forEach((of) => paint(of)); };
    return {
      /** Forget the texts before; `begin`: how many tokens of a text were given to it. */
      clear(begin = {}) {
        texts = {}; readings = []; before = { ids: [], asked: null };
        Object.entries(begin).forEach(([of, count]) => { text(of).begin = count; });
        if (byId(prefix + "colour")) set(prefix + "colour", { options: CHOICES });
        legend();
      },
      /** What the texts go on from: the ids of their prompt, and the question that they answer. */
      follows(ids, asked) { before = { ids, asked }; },
      /** A written token as the token card asks about it: in its whole text, with the set-up that the text was written
          under; none for a control, which is of another. */
      asks(of, at) {
        const { params = {}, steer: own } = before.asked || {};
        const turns = params.turns || [], steer = own || params.steer || (turns.length ? turns[turns.length - 1].steer : null);
        const mixed = turns.some((t) => JSON.stringify(t.steer) !== JSON.stringify(steer));
        const found = { ids: [...before.ids, ...text(of).ids], position: before.ids.length + at };
        return { ...found, steer: /^control/.test(of) || mixed ? null : steer || null, ...(mixed ? { mixed } : {}) };
      },
      /** A new token of a text, whose span stands in its box already. */
      add(of, id, span) {
        const mine = text(of);
        mine.ids.push(id);
        if (mine.ids.length === mine.begin) span.classList.add("attune-swapped");
      },
      /** Prices of tokens, from the token number `start` on. */
      mark({ of, start, kl, surprise }) {
        const mine = text(of);
        kl.forEach((value, i) => { mine.kl[start + i] = value; mine.surprise[start + i] = surprise[i]; });
        paint(of, start);
      },
      /** The texts are at their end: what else was read of their tokens becomes a choice. */
      end(line) {
        readings = line.readings || [];
        ["base", "steered", "control"].forEach((of) => {
          if (line[of] && line[of].kl) Object.assign(text(of), { kl: line[of].kl, surprise: line[of].surprise });
        });
        if (byId(prefix + "colour")) {
          set(prefix + "colour", { options: [...CHOICES, ...readings.map((r, i) => ({ label: r.name, value: "reading-" + i }))] });
        }
        paintAll();
      },
      paintAll,
      /** The ids of a text up to and with the token number `at`. */
      upTo: (of, at) => text(of).ids.slice(0, at + 1),
      count: (of) => text(of).ids.length,
    };
  }

  // ---- a token of a text that can be asked about: pressed, or walked to with the arrow keys and entered ----
  const asks = []; // { prefix, boxes: by id of a box the name of its text, colours }
  const HERE = "attune-here";
  let shown = ""; // box and place of the token whose alternatives stand there; a second press on it closes them
  function pick(host, at) {
    const mine = asks.find((a) => a.boxes[host.id]);
    if (!mine || !byId(mine.prefix + "alternatives")) return;
    const of = mine.boxes[host.id];
    if (at < 0 || at >= mine.colours.count(of)) return;
    document.querySelectorAll("." + HERE).forEach((span) => span.classList.remove(HERE));
    const ids = mine.colours.upTo(of, at), token = host.id + " " + ids.join(" ");
    if (token === shown) {
      shown = "";
      save(mine.prefix + "token-pick", null);
      return;
    }
    shown = token;
    host.children[at].classList.add(HERE);
    save(mine.prefix + "token-pick", { of, ids, turn: turn() });
  }
  /** What the token card asks of a written token; null for one that is not of a text in a box. */
  function writtenAt(span) {
    const host = span.parentNode, mine = asks.find((a) => a.boxes[host.id]), at = placeOf(span);
    return mine && at < mine.colours.count(mine.boxes[host.id]) ? mine.colours.asks(mine.boxes[host.id], at) : null;
  }
  const placeOf = (span) => Array.prototype.indexOf.call(span.parentNode.children, span);
  on("click", ".attune-written > .attune-piece", (span) => pick(span.parentNode, placeOf(span)));
  const STEPS = { ArrowRight: 1, ArrowLeft: -1 };
  on("keydown", ".attune-written", (host, event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !host.children.length) return;
    const here = host.querySelector("." + HERE), at = here ? placeOf(here) : -1;
    if (event.key === "Enter" && here) { event.preventDefault(); pick(host, at); }
    const by = STEPS[event.key];
    if (!by || !asks.some((a) => a.boxes[host.id] && byId(a.prefix + "alternatives"))) return;
    event.preventDefault();
    const next = host.children[Math.max(0, Math.min(host.children.length - 1, at + by))];
    if (here) here.classList.remove(HERE);
    next.classList.add(HERE);
    next.scrollIntoView({ block: "nearest" });
  });
  // A press on an alternative: the text goes on from there.
  on("click", "[data-go-on]", (button) => {
    const { goOn, goOf, goTo } = button.dataset;
    save(goTo, { of: goOf, begin: goOn.split(",").map(Number), turn: turn() });
  });
  /** The question of the texts, with another beginning of one of them. */
  const goOn = (go, asked) => (go && asked
    ? { ...asked, params: { ...asked.params, of: go.of, begin: go.begin }, turn: (asked.turn || 0) + 1 } : none());

  register("attune", { colours, goOn, tokensOf: (entry) => asks.push(entry), writtenAt });
})();
