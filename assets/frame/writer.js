// Texts that a model writes, token by token, into the boxes of a page: begun, shaded, stopped. An aborted request stops
// the model at its next token.
(function () {
  const { byId, element, none, register, same, save, set, stream, tell } = window.dash_clientside.attune_kit;
  const shade = (kl) => Math.min(1, Math.sqrt(kl / 3));
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

  /**
   * The two callbacks of a page that writes texts. Its boxes have the ids PREFIX + base-text, steered-text and
   * control-text (or other `texts`); what is said of them goes to stream-state and stream-error. At the end of all of
   * them their question goes to written: the server has the answer. `other` takes a line that is none of a text.
   */
  function writer(prefix, texts = TEXTS, other = () => {}) {
    const box = (of) => byId(prefix + of + "-text");
    const say = (state, error) => {
      set(prefix + "stream-state", { children: state });
      if (error !== undefined) set(prefix + "stream-error", { children: error });
    };
    const own = prefix.replace(/-$/, "") || "texts";
    let running = null;

    function add(piece) {
      const host = box(piece.of);
      if (!host) return;
      host.append(element("span", { class: "attune-piece" }, piece.text));
      host.scrollTop = host.scrollHeight;
    }
    function mark({ of, start, kl, surprise }) {
      const host = box(of);
      kl.forEach((value, i) => {
        const span = host && host.children[start + i];
        if (!span) return;
        span.style.setProperty("--shade", shade(value));
        span.title = "KL to unsteered " + value.toFixed(2) + " nats; surprise " + surprise[i].toFixed(2) + " nats unsteered";
      });
    }
    function take(line, mine) {
      if (line.piece) {
        add(line.piece);
        if (line.piece.of !== "base" && line.piece.of !== "control") mine.count += 1;
        say(mine.count + " steered tokens, " + line.rate.toFixed(1) + " a second");
      } else if (line.marks) mark(line.marks);
      else if (line.error) say("", line.error);
      else if (line.done) {
        const { operation, params, turn } = mine.asked;
        mine.done = true;
        save(prefix + "written", { operation: operation || "SteerText", params, turn });
        say(line.sentence);
      } else other(line);
    }
    function stop(clicks) {
      if (!clicks || !running) return none();
      const it = running;
      running = null;
      it.controller.abort();
      tell("/steering/stop", { token: it.token });
      say("Stopped after " + it.count + " tokens.");
      figures(own, "none");
      set(prefix + "stop", { disabled: true });
      return none();
    }
    // `asked`: { params, turn, operation where it is not the usual one }; the same question is not asked twice.
    async function write(asked, session) {
      if (!asked || !asked.params || (running && same(running.asked, asked))) return none();
      if (running) running.controller.abort();
      const token = window.crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
      const mine = (running = { controller: new AbortController(), token, asked, count: 0 });
      texts.map(box).forEach((host) => {
        if (host) host.replaceChildren();
      });
      set(prefix + "stop", { disabled: false });
      turns.set(own, asked.turn);
      figures(own, "writing");
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
        set(prefix + "stop", { disabled: true });
        if (!mine.done) figures(own, "none");
      }
      return none();
    }
    return { stop, write };
  }

  /** The ref of the texts that stand in the boxes, for their card: none of older ones, and none while they grow. */
  const refOfWritten = (ref, asked) => (ref && asked && ref.turn === asked.turn ? ref : null);

  register("attune", { figuresCame, refOfWritten, writer });
})();
