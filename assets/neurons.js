// The Neurons page in the browser: one listener for all its lists and cards, arrows in the list, clicks in figures.
(function () {
  const { byId, grown, list, none, on, picked, register, save, turn, walk } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;

  on("click", "[data-nrn-open], [data-nrn-channel], [data-nrn-skip], [data-nrn-keep]", (button) => {
    const { nrnOpen, nrnChannel, nrnSkip, nrnKeep, nrnLabel } = button.dataset;
    if (nrnOpen !== undefined) {
      const [layer, vector, neuron, channel] = nrnOpen.split(":");
      save("nrn-picked", { layer: Number(layer), vector, neuron: Number(neuron),
        channel: channel === undefined ? null : Number(channel), turn: turn() });
    }
    if (nrnChannel !== undefined) save("nrn-asked", { channel: Number(nrnChannel), turn: turn() });
    if (nrnSkip !== undefined) attune.press("nrn-excluded", { kind: "skip", id: Number(nrnSkip), token: nrnLabel });
    if (nrnKeep !== undefined) attune.press("nrn-excluded", { kind: "keep", id: Number(nrnKeep) });
  });
  walk(".nrn-list", ".nrn-row");

  // A point of the layer map: its layer and vector; the neuron's number stays.
  function layer(click) {
    const data = picked(click);
    return Array.isArray(data) ? { layer: data[0], vector: data[1], turn: turn() } : none();
  }

  // The question that a job has answered goes to the page if its neuron is still the open one.
  function take(question, neuron) {
    const open = question && neuron && ["layer", "vector", "neuron"].every((k) => question.params[k] === neuron[k]);
    if (open) save("nrn-found", question);
    return none();
  }

  // Long lists come as plain trees and become elements here, and not components of Dash (pages/frame/drawn.py).
  function draw(tree, id) {
    const host = byId(id.slice(0, -"-tree".length));
    if (!host || tree === null || tree === undefined) return none();
    list(host, [tree].flat(9).map(grown), (row) => row && row.dataset.nrnOpen);
    return none();
  }

  register("attune_neurons", { draw, layer, take });
})();
