// Samples on the Steering page: a column of texts for each arm, drawn when the model names them, and in the texts the
// places that were counted.
(function () {
  const { byId, element, none, register } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;
  const PREFIX = "samples-";

  function text([arm, title], seed, n) {
    const name = arm + "-" + n, label = title + ", seed " + seed;
    return element("div", { class: "attune-sample" },
      element("div", { class: "attune-sample-head" }, element("span", { class: "attune-note" }, "seed " + seed),
        attune.endButton(PREFIX, name, label)),
      element("div", { id: PREFIX + name + "-text", role: "log", "aria-label": label }));
  }
  function columns({ samples }) {
    if (!samples) return;
    byId(PREFIX + "texts").replaceChildren(...samples.arms.map((arm) =>
      element("section", { class: "attune-samples-arm", "data-arm": arm[0], "aria-label": arm[1] },
        element("h4", {}, arm[1]),
        element("div", { class: "attune-samples-list", tabindex: "0" }, samples.seeds.map((seed, n) => text(arm, seed, n))))));
  }

  /** Mark places in the texts: by the name of a text, pairs of positions. Pieces keep their shade. */
  function markSamples(marks) {
    Object.entries(marks || {}).forEach(([name, places]) => {
      const box = byId(PREFIX + name + "-text");
      if (!box) return;
      box.parentElement.classList.toggle("attune-with", places.length > 0);
      let start = 0;
      Array.from(box.children).forEach((piece) => {
        const written = piece.textContent, parts = [];
        let from = 0;
        places.filter(([a, b]) => a < start + written.length && b > start).forEach(([a, b]) => {
          const first = Math.max(0, a - start), end = Math.min(written.length, b - start);
          parts.push(written.slice(from, first), element("mark", {}, written.slice(first, end)));
          from = end;
        });
        piece.replaceChildren(...parts, written.slice(from));
        start += written.length;
      });
    });
    return none();
  }

  const { stop, write } = attune.writer(PREFIX, [], columns);
  register("attune", { markSamples, startSamples: write, stopSamples: stop });
})();
