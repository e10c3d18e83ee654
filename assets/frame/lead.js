// A press whose answer comes in a tab leads there: the tab is opened, its strip comes to the top of the window, and the
// keyboard goes on from it. Without this, a press above the fold answers below it, and seems to do nothing.
//
// So does a press on a tab itself whose panel would not fit below it.
(function () {
  const { byId, on, set } = window.dash_clientside.attune_kit;

  // data-leads: the tabs; data-tab: the one that answers.
  on("click", "[data-leads]", (button) => {
    const tabs = byId(button.dataset.leads);
    if (!tabs || button.disabled) return;
    set(tabs.id, { active_tab: button.dataset.tab });
    // React draws the open tab within a task; a picture later its place is known.
    setTimeout(() => requestAnimationFrame(() => {
      tabs.scrollIntoView({ block: "start" });
      const link = tabs.querySelector(".nav-link.active");
      if (link) link.focus({ preventScroll: true });
    }), 0);
  });

  const NEEDED = 560; // pixels of a panel with its controls and its picture
  on("click", ".nav-tabs .nav-link", (link) => {
    const strip = link.closest(".nav-tabs");
    if (window.innerHeight - strip.getBoundingClientRect().bottom >= NEEDED) return;
    setTimeout(() => requestAnimationFrame(() => strip.scrollIntoView({ block: "start" })), 0);
  });
})();
