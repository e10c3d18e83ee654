// The card that prepares a page: the page below it by hand, the line that opens to the card, and figures that were laid
// out while the page was hidden.
(function () {
  const { none, on, register, set } = window.dash_clientside.attune_kit;

  // The page is shown, on the tab where what it needs is made by hand.
  function byHand(clicks) {
    if (!clicks) return none();
    const names = ["Fit another", "Studies"];
    const tab = [...document.querySelectorAll("#_pages_content [role=tab]")].find((t) => names.includes(t.textContent.trim()));
    setTimeout(() => {
      if (tab) { tab.click(); tab.scrollIntoView({ block: "start" }); }
    }, 60);
    return "";
  }
  function open(clicks, look) {
    if (!clicks) return [none(), none()];
    const opened = look.includes("prepare-opened");
    return [opened ? look.replace(" prepare-opened", "") : look + " prepare-opened", opened ? "Improve" : "Close"];
  }
  function shown(look) {
    if (!look) requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
    return none();
  }
  // A fit that a run made beside the open one; what offers it leaves with the press.
  on("click", "[data-open-fit]", ({ dataset }) => {
    set(dataset.picker, { value: dataset.openFit });
    set(dataset.place, { children: "" });
  });
  register("attune_prepare", { byHand, open, shown });
})();
