// What Dash's controls lack for whoever does not see them: names of sliders and bars, tabs that point at their panels,
// dropdowns without a hidden element that takes the keyboard; popups that close. A name stands in the page as a label, or on a group around
// the control. Attributes are set that React does not manage, or sets only once.
(function () {
  const { on, whenChanged } = window.dash_clientside.attune_kit;
  let count = 0;

  const labelOf = (id) => (id ? document.querySelector('label[for="' + CSS.escape(id) + '"]') : null);
  function give(control, name) {
    if (name) control.setAttribute("aria-label", name);
  }
  function slider(part) {
    const label = labelOf(part.closest(".dash-slider-container").id), group = part.closest("[role=group][aria-label]");
    give(part, label ? label.textContent : group && group.getAttribute("aria-label"));
  }
  // The button of a dropdown is where the keyboard should stop; Dash has an invisible element before it do that.
  function dropdown(target) {
    const button = target.nextElementSibling, label = labelOf(button.id);
    target.inert = true;
    button.tabIndex = 0;
    if (!label) return;
    if (!label.id) label.id = "label-" + (count += 1);
    button.setAttribute("aria-labelledby", label.id + " " + button.getAttribute("aria-labelledby"));
  }
  // All tabs have one id, and point at a panel of no name; their panels have names of their own, in the same order.
  function tab(link) {
    const list = link.closest(".nav-tabs"), panels = list.nextElementSibling.children;
    const panel = panels[Array.from(list.querySelectorAll("[role=tab]")).indexOf(link)];
    link.id = panel.getAttribute("aria-labelledby");
    link.setAttribute("aria-controls", panel.id);
  }
  function draw() {
    document.querySelectorAll(".dash-dropdown-focus-target:not([inert])").forEach(dropdown);
    document.querySelectorAll(".dash-slider-container :is([role=slider], input):not([aria-label])").forEach(slider);
    document.querySelectorAll("[role=progressbar]:not([aria-label])").forEach((bar) => give(bar, bar.textContent));
    // A file is chosen by the button that stands in its box; the field itself is invisible.
    document.querySelectorAll("input[type=file]:not([aria-label])").forEach((field) => give(field, field.parentElement.textContent));
    document.querySelectorAll(".toast-header svg:not([aria-hidden])").forEach((icon) => icon.setAttribute("aria-hidden", "true"));
    document.querySelectorAll('.nav-tabs [role=tab][aria-controls$="-null"]').forEach(tab);
  }
  // What a button shows over the page goes with a press beside it. The choices of a dropdown lie elsewhere in the document.
  const OVER = "details.attune-popup[open]", CHOICES = "[data-radix-popper-content-wrapper], .dash-dropdown-content";
  document.addEventListener("pointerdown", ({ target }) => {
    if (!target.closest || target.closest(CHOICES)) return;
    document.querySelectorAll(OVER).forEach((popup) => { if (!popup.contains(target)) popup.open = false; });
  });
  on("keydown", OVER, (popup, event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    popup.open = false;
    popup.firstElementChild.focus();
    event.preventDefault();
  });
  whenChanged(draw, { childList: true, subtree: true });
})();
