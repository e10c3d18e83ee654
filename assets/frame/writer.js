// Texts that a model writes, token by token, into the boxes of a page: begun, shaded, stopped. An aborted request stops
// the model at its next token.
(function () {
  const { byId, element, none, on, register, same, save, set, stream, tell } = window.dash_clientside.attune_kit;
  const { colours, tokensOf } = window.dash_clientside.attune;
  const TEXTS = ["base", "steered", "control"];
  // Figures of texts (their elements name the writer in data-figures-of) belong to the texts that stood in the boxes when
  // they came: grey while new ones are written, and no figures at all of a text that was not written to its end.
  const turns = new Map(); // by writer: the turn of the texts in its boxes
  const figures = (name, state) => document.querySelectorAll(`[data-figures-of="${name}"]`).forEach((host) => {
    host.dataset.figures = state;
  });
  /** Figures of the texts of a turn have come. */
  function figuresCame(name, ref) {
    if (ref && ref.turn === turns.get(name)) figures(name, "");
    return none();
  }
  /** By the prefix of a page's boxes: what ends one of its texts. */
  const ends = new Map();

  /**
   * The two callbacks of a page that writes texts. Its boxes have the ids PREFIX + base-text, steered-text and
   * control-text (or other `texts`); what is said of them goes to stream-state and stream-error. At the end of all of
   * them their question goes to written: the server has the answer. `other` takes a line that is none of a text,
   * `ended` the last line and the question.
   */
  function writer(prefix, texts = TEXTS, other = () => {}, ended = () => {}) {
    const box = (of) => byId(prefix + of + "-text");
    const say = (state, error) => {
      set(prefix + "stream-state", { children: state });
      if (error !== undefined) set(prefix + "stream-error", { children: error });
    };
    const own = prefix.replace(/-$/, "") || "texts";
    let running = null;
    const colour = colours(prefix, box);
    tokensOf({ prefix, colours: colour, boxes: Object.fromEntries(texts.map((of) => [prefix + of + "-text", of])) });
    // Buttons that end one text are seen while texts are written (attune.css).
    const writing = (now) => {
      set(prefix + "stop", { disabled: !now });
      const host = byId(prefix + "texts");
      if (host) host.toggleAttribute("data-writing", now);
    };
    ends.set(prefix, (part) => { if (running) tell("/steering/stop", { token: running.token, part }); });

    function add(piece) {
      const host = box(piece.of);
      if (!host) return;
      const span = element("span", { class: "attune-piece attune-tok", "data-token-soft": "" }, piece.text);
      host.append(span);
      colour.add(piece.of, piece.id, span);
      host.scrollTop = host.scrollHeight;
    }
    function take(line, mine) {
      if (line.piece) {
        add(line.piece);
        if (!/^(base|control)/.test(line.piece.of)) mine.count += 1;
        say(mine.count + " steered tokens, " + line.rate.toFixed(1) + " a second");
      } else if (line.marks) colour.mark(line.marks);
      else if (line.room !== undefined) {
        colour.follows(line.prompt || [], mine.asked);
        if (byId(prefix + "room")) set(prefix + "room", { children: line.room });
      }
      else if (line.error) say("", line.error);
      else if (line.done) {
        const { operation, params, turn } = mine.asked;
        mine.done = true;
        colour.end(line);
        save(prefix + "written", { operation: operation || "SteerText", params, turn });
        say(line.sentence);
        ended(line, mine.asked);
      } else other(line);
    }
    function stop(clicks) {
      if (!clicks || !running) return none();
      const it = running;
      running = null;
      it.controller.abort();
      tell("/steering/stop", { token: it.token });
      say("Stopped after " + it.count + " tokens.");
      writing(false);
      figures(own, "none");
      return none();
    }
    // `asked`: { params, turn, operation where it is not the usual one }; the same question is not asked twice.
    // Not awaited: Dash holds back every callback that reads what led to a callback under way, so a slider could not be
    // set while a text is written.
    function write(asked, session) {
      if (asked && asked.params && !(running && same(running.asked, asked))) follow(asked, session);
      return none();
    }
    async function follow(asked, session) {
      if (running) running.controller.abort();
      const token = window.crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
      const mine = (running = { controller: new AbortController(), token, asked, count: 0 });
      texts.map(box).forEach((host) => {
        if (host) host.replaceChildren();
      });
      turns.set(own, asked.turn);
      figures(own, "writing");
      const { begin, of } = asked.params;
      colour.clear(begin && begin.length ? { [of]: begin.length } : {});
      writing(true);
      say("Waiting for the model …", "");
      try {
        const { operation, params } = asked;
        await stream("/steering/stream", { session, token, operation, params }, (line) => take(line, mine), mine.controller.signal);
      } catch (error) {
        if (error.name !== "AbortError" && running === mine) {
          say("", "The text did not arrive: " + error.message + " Press Write to ask again.");
        }
      }
      if (running === mine) {
        running = null;
        writing(false);
        if (!mine.done) figures(own, "none");
      }
    }
    /** Another colouring was chosen. */
    const paint = () => { colour.paintAll(); return none(); };
    return { paint, stop, write };
  }

  /** The ref of the texts that stand in the boxes, for their card: none of older ones, and none while they grow. */
  const refOfWritten = (ref, asked, colour) => (ref && asked && ref.turn === asked.turn
    ? { ...ref, options: { ...ref.options, ...(colour ? { colour } : {}) } } : null);

  /** The button that ends one text of a page, `label`, while the others go on. */
  const endButton = (prefix, part, label) => element("button", { type: "button", class: "attune-small", title: "End this text",
    "aria-label": "end the text " + label, "data-end-text": prefix, "data-part": part }, "■");
  on("click", "[data-end-text]", ({ dataset }) => {
    if (ends.has(dataset.endText)) ends.get(dataset.endText)(dataset.part);
  });

  register("attune", { endButton, figuresCame, refOfWritten, writer });
})();
