// One Othello board from plain data (components/othello/board.py): drawn once, then only changed. The Othello page plays
// on boards (assets/othello.js); a pinned board is the same picture (assets/frame/exhibit.js). All text goes in through
// textContent or attributes.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const NAMES = Array.from({ length: 64 }, (_, s) => "ABCDEFGH"[s >> 3] + ((s & 7) + 1));
  // The scales of the figures (components/kit/png.py, components/kit/theme.py), in equal steps.
  const SEQUENTIAL = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#fee838"];
  const DIVERGING = ["#b35806", "#f1a340", "#f7f7f7", "#67a9cf", "#1f4e8c"];

  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  function colour(scale, t) {
    const x = Math.max(0, Math.min(1, t)) * (scale.length - 1), i = Math.min(scale.length - 2, Math.floor(x));
    const a = rgb(scale[i]), b = rgb(scale[i + 1]), f = x - i;
    return a.map((v, k) => Math.round(v + (b[k] - v) * f));
  }
  // Text on a square is black or white, whichever has more contrast to its colour: at least 4.5 to any.
  const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
    const v = c[i] / 255;
    return sum + part * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ink = (c) => (luminance(c) > 0.179 ? "#000000" : "#ffffff");

  function build(host) {
    const corner = (text) => element("span", { class: "attune-edge", "aria-hidden": "true" }, text);
    const playable = !!host.dataset.queue;
    const squares = NAMES.map((_, s) => [s % 8 === 0 ? corner("ABCDEFGH"[s / 8]) : null,
      element(playable ? "button" : "div", { class: "attune-square", "data-square": s,
        ...(playable ? { type: "button", tabindex: s === 19 ? 0 : -1 } : { role: "img" }) },
      element("span", { class: "attune-disc" }), element("span", { class: "attune-square-text" }))]);
    host.replaceChildren(...["", 1, 2, 3, 4, 5, 6, 7, 8].map(corner), ...squares.flat().filter(Boolean),
      element("div", { class: "attune-legend" }));
  }

  /** Draw a board into its container. A container with `data-queue` is played on: its squares are buttons. */
  function draw(host, data) {
    if (!host.querySelector(".attune-square")) build(host);
    const legal = new Set(data.legal), wrong = new Set(data.wrong), selected = new Set(data.selected);
    host.querySelectorAll(".attune-square").forEach((cell, s) => {
      const disc = data.discs[s], value = data.heat ? data.heat[s] : null;
      cell.classList.toggle("attune-black", disc === 1);
      cell.classList.toggle("attune-white", disc === 2);
      cell.classList.toggle("attune-legal", legal.has(s));
      cell.classList.toggle("attune-wrong", wrong.has(s));
      cell.classList.toggle("attune-last", data.last === s);
      cell.classList.toggle("attune-selected", selected.has(s));
      cell.firstChild.style.opacity = data.shades ? data.shades[s] : 1;
      if (value === null || value === undefined) {
        cell.style.removeProperty("--heat"); cell.style.removeProperty("--ink");
      } else {
        const c = data.kind === "diverging" ? colour(DIVERGING, 0.5 + value / data.max / 2) : colour(SEQUENTIAL, value / data.max);
        cell.style.setProperty("--heat", "rgb(" + c.join(",") + ")");
        cell.style.setProperty("--ink", ink(c));
      }
      cell.lastChild.textContent = data.texts ? data.texts[s] : "";
      cell.title = data.labels[s];
      cell.setAttribute("aria-label", data.labels[s]);
    });
    const legend = host.querySelector(".attune-legend");
    const key = data.heat ? data.kind + data.max + data.legend : "";
    if (legend.dataset.key !== key) {
      legend.dataset.key = key;
      legend.replaceChildren();
      if (key) {
        const percent = data.legend.includes("%") || data.legend.includes("points");
        const say = (v) => (percent ? Math.round(100 * v) + (data.legend.includes("%") ? " %" : "") : String(Number(v.toPrecision(2))));
        const scale = data.kind === "diverging" ? DIVERGING : SEQUENTIAL;
        legend.append(element("span", {}, say(data.kind === "diverging" ? -data.max : 0)),
          element("i", { style: { background: "linear-gradient(90deg," + scale.join(",") + ")" } }),
          element("span", {}, say(data.max) + " · " + data.legend));
      }
    }
  }

  register("attune_board", { draw });
})();
