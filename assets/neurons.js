// The Neurons page in the browser: one listener for all its lists and cards, arrows in the list, clicks in figures.
(function () {
  const attune = window.dash_clientside.attune;
  const none = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  let turns = 0;
  const turn = () => (turns += 1);

  document.addEventListener("click", (event) => {
    const button = event.target.closest &&
      event.target.closest("[data-nrn-open], [data-nrn-channel], [data-nrn-ablate], [data-nrn-skip], [data-nrn-keep]");
    if (!button) return;
    const { nrnOpen, nrnChannel, nrnAblate, nrnSkip, nrnKeep, nrnLabel } = button.dataset;
    if (nrnOpen !== undefined) {
      const [layer, vector, neuron, channel] = nrnOpen.split(":");
      set("nrn-picked", { data: { layer: Number(layer), vector, neuron: Number(neuron),
        channel: channel === undefined ? null : Number(channel), turn: turn() } });
    }
    if (nrnChannel !== undefined) set("nrn-asked", { data: { channel: Number(nrnChannel), turn: turn() } });
    if (nrnAblate !== undefined) set("nrn-asked", { data: { channel: Number(nrnAblate), ablate: true, turn: turn() } });
    if (nrnSkip !== undefined) attune.press("nrn-excluded", { kind: "skip", id: Number(nrnSkip), token: nrnLabel });
    if (nrnKeep !== undefined) attune.press("nrn-excluded", { kind: "keep", id: Number(nrnKeep) });
  });
  // Arrows walk through the list of neurons, as in a list box.
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest && event.target.closest(".nrn-list .nrn-row");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!row || !step) return;
    const rows = Array.from(row.closest(".nrn-list").querySelectorAll(".nrn-row"));
    rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(row) + step))].focus();
    event.preventDefault();
  });

  // A point of the layer map: its layer and vector; the neuron's number stays.
  function layer(click) {
    const data = click && click.points && click.points[0] && click.points[0].customdata;
    return Array.isArray(data) ? { layer: data[0], vector: data[1], turn: turn() } : none();
  }

  // What a job found goes to the page if its neuron is still the open one.
  function take(answer, neuron) {
    const same = answer && neuron && ["layer", "vector", "neuron"].every((k) => answer.of[k] === neuron[k]);
    if (same) set("nrn-found", { data: answer });
    return none();
  }

  // ---- long lists: plain trees become elements here, and not components of Dash ----
  function element(node) {
    if (typeof node === "string") return document.createTextNode(node);
    const made = document.createElement(node.t);
    Object.entries(node.a || {}).forEach(([name, value]) => made.setAttribute(name, value));
    Object.entries(node.s || {}).forEach(([name, value]) => made.style.setProperty(name, value));
    const content = node.c === undefined ? [] : Array.isArray(node.c) ? node.c : [node.c];
    made.append(...content.flat(9).map(element));
    return made;
  }
  const FOCUSABLE = "button, [tabindex], summary";
  function draw(tree, id) {
    const host = document.getElementById(id.slice(0, -"-tree".length));
    if (!host || tree === null || tree === undefined) return none();
    // Whoever is at a place of the list stays there: the scroll, and the focus if the same thing can still have it.
    const name = (e) => JSON.stringify([e.tagName, e.dataset, e.textContent]);
    const focused = host.contains(document.activeElement) ? name(document.activeElement) : null;
    const top = host.scrollTop;
    host.replaceChildren(...[tree].flat(9).map(element));
    host.scrollTop = top;
    const chosen = host.querySelector("[aria-current=true]"), which = chosen && chosen.dataset.nrnOpen;
    if (which && host.dataset.shown !== which) { // another neuron was opened elsewhere: its row is brought into view
      const row = chosen.getBoundingClientRect(), box = host.getBoundingClientRect();
      if (row.bottom > box.bottom) host.scrollTop += row.bottom - box.bottom;
      if (row.top < box.top) host.scrollTop -= box.top - row.top;
    }
    host.dataset.shown = which || "";
    if (focused) {
      const same = Array.from(host.querySelectorAll(FOCUSABLE)).find((e) => name(e) === focused);
      if (same) same.focus({ preventScroll: true });
    }
    return none();
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, { attune_neurons: { layer, take, draw } });
})();
