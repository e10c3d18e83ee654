// Attention page: the tokens of two prompts, and which stands for which. A press on one and then on one of the other
// prompt pairs them; a press on the same token twice takes its partner away.
(function () {
  const { ALONG, byId, element, none, register, save, walk } = window.dash_clientside.attune_kit;

  function pairing(both, byHand) {
    const hosts = [byId("pair-mine"), byId("pair-theirs")];
    if (!hosts[0] || !hosts[1]) return none();
    if (!both) { hosts.forEach((host) => host.replaceChildren()); return none(); }
    const words = [both.labels, both.others];
    const pairs = byHand || both.pairs;
    let chosen = null; // [side, place] of the first of two presses
    const partner = (side, place) => {
      const found = pairs.find((pair) => pair[side] === place);
      return found ? found[1 - side] : null;
    };
    const mark = (side, place) => {
      const other = place === null ? null : partner(side, place);
      hosts.forEach((host, s) => Array.from(host.children).forEach((button, i) => {
        button.classList.toggle("attune-hovered", place !== null && (s === side ? i === place : i === other));
        button.classList.toggle("attune-picked", chosen !== null && s === chosen[0] && i === chosen[1]);
      }));
    };
    const pick = (side, place) => {
      if (chosen === null || (chosen[0] === side && chosen[1] !== place)) {
        chosen = [side, place];
        mark(side, place);
        return;
      }
      // The second press: both let go of what they were paired with, and are paired unless it was the same token.
      const places = chosen[0] === side ? null : side === 0 ? [place, chosen[1]] : [chosen[1], place];
      const rest = pairs.filter((pair) => (places ? pair[0] !== places[0] && pair[1] !== places[1] : pair[side] !== place));
      save("site-pairs", (places ? [...rest, places] : rest).sort((a, b) => a[0] - b[0]));
    };
    hosts.forEach((host, side) => {
      host.replaceChildren(...words[side].map((label, i) => {
        const other = partner(side, i);
        const said = other === null ? "no partner" : "with " + other + " " + words[1 - side][other];
        const differs = other !== null && words[1 - side][other] !== label;
        return element("button", { type: "button", title: said, tabindex: i === 0 ? 0 : -1,
          class: "attune-token" + (other === null ? " attn-alone" : differs ? " attn-differs" : ""),
          "aria-label": (side ? "other prompt " : "this prompt ") + i + ": " + label + ", " + said }, label);
      }));
      host.onclick = (event) => {
        const button = event.target.closest("button");
        if (button) pick(side, Array.from(host.children).indexOf(button));
      };
      host.onmouseover = (event) => {
        const button = event.target.closest("button");
        if (button) mark(side, Array.from(host.children).indexOf(button));
      };
      host.onmouseleave = () => mark(0, null);
    });
    return none();
  }
  ["#pair-mine", "#pair-theirs"].forEach((strip) => walk(strip, "button", { ...ALONG, Home: -1e6, End: 1e6 }));

  register("attune", { pairing });
})();
