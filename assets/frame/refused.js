// A refusal marks the control that holds what is refused, for as long as its sentence stands. The sentence carries the
// control's id (components/kit/panels.py, data-refuses). Marks are attributes that React does not manage, so that it neither
// takes them away nor trips over them; and they are drawn again whenever the page changes, since a tab or a form may
// come later than the sentence.
(function () {
  const { byId, whenChanged } = window.dash_clientside.attune_kit;
  const INSIDE = "input, textarea, select, button, [role=slider], [role=combobox]";
  const shown = new WeakSet(); // sentences that were brought into view once, however far below the fold they came
  let count = 0;

  // The part of a control that has the keyboard: dropdowns, sliders and uploads are boxes around it.
  const inner = (box) => (box.matches(INSIDE) ? box : box.querySelector(INSIDE) || box);

  function draw() {
    const wanted = new Map();
    document.querySelectorAll("[data-refuses]").forEach((said) => {
      const box = byId(said.dataset.refuses);
      if (!box) return;
      if (!said.id) said.id = "refusal-" + (count += 1);
      wanted.set(box, said);
    });
    document.querySelectorAll("[data-refused]").forEach((box) => {
      if (!wanted.has(box)) clear(box);
    });
    wanted.forEach((said, box) => {
      if (box.dataset.refused !== said.id) box.dataset.refused = said.id;
      const field = inner(box);
      if (!shown.has(said)) { shown.add(said); said.scrollIntoView({ block: "nearest" }); }
      if (field.getAttribute("aria-describedby") !== said.id) field.setAttribute("aria-describedby", said.id);
      if (field.getAttribute("aria-invalid") !== "true") field.setAttribute("aria-invalid", "true");
      if (!field.title || field.refusal) field.title = field.refusal = said.textContent;
    });
  }
  function clear(box) {
    delete box.dataset.refused;
    const field = inner(box);
    ["aria-describedby", "aria-invalid"].forEach((name) => field.removeAttribute(name));
    if (field.refusal) { field.removeAttribute("title"); field.refusal = ""; }
  }
  whenChanged(draw, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["data-refuses"] });
})();
