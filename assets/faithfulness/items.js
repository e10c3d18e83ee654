// The Faithfulness page in the browser: the list of items, opening one of them, and the switch of regimes.
(function () {
  const { ALONG, byId, element, list, none, on, register, save, turn, walk } = window.dash_clientside.attune_kit;
  const SIGNS = { true: "●", false: "◇", null: "□" };
  const KIND = { true: "fth-true", false: "fth-false", null: "fth-none" };

  // ---- the list: a row for each text; the regime that is open stays when another text is chosen ----
  let regime = null;
  function member(group, tier) {
    const here = group.members.filter((m) => !tier || m[4] === tier || (tier === "1" && m[4] === "Z"));
    return here.find((m) => m[1] === regime) || here.find((m) => m[4] === tier) || group.members[0];
  }
  function items(data, item, tier, words) {
    const host = byId("fth-list");
    if (!host || !data) return [none(), none()];
    const wanted = (words || "").toLowerCase().split(/\s+/).filter(Boolean);
    const open = item && item.item;
    data.groups.forEach((g) => g.members.forEach((m) => { if (m[0] === open) regime = m[1]; }));
    const text = (g) => g.members.map((m) => [m[0], m[1], m[3]].join(" ")).join(" ").toLowerCase();
    const groups = data.groups.filter((g) => !tier || g.tiers.includes(tier));
    const found = groups.filter((g) => wanted.every((w) => text(g).includes(w)));
    const rows = found.map((g) => {
      const current = g.members.some((m) => m[0] === open), m = current ? g.members.find((x) => x[0] === open) : member(g, tier);
      const signs = g.members.map((x) => element("span", { class: "fth-sign " + KIND[x[2]], title: x[1] }, SIGNS[x[2]]));
      return element("button", { class: "fth-row" + (current ? " attune-region-chosen" : ""), type: "button",
        "data-fth-item": m[0], "data-fth-text": g.members[0][0], "aria-current": current ? "true" : "false", title: m[3] },
      element("span", { class: "fth-row-text" }, m[3]), element("span", { class: "fth-row-signs" }, signs));
    });
    if (!rows.length) rows.push(element("div", { class: "attune-note" }, data.groups.length ? "No item has these words." : ""));
    // The focus stays with a text, whichever of its regimes is open.
    list(host, rows, () => open, (row) => row.dataset.fthText);
    const said = found.length === groups.length ? groups.length + (groups.length === 1 ? " text" : " texts") : found.length + " of " + groups.length;
    return [none(), data.failed ? "" : said];
  }

  // ---- choosing ----
  function pick(picked, data) {
    return picked && data ? { item: picked.item, study: data.study } : none();
  }
  function first(tier, data, item) {
    if (!tier || !data || data.failed) return none();
    const groups = data.groups.filter((g) => g.tiers.includes(tier));
    const here = item && groups.some((g) => g.members.some((m) => m[0] === item.item));
    return here || !groups.length ? none() : { item: member(groups[0], tier)[0], study: data.study };
  }
  function open(asked, data, tier) {
    if (!asked || !asked.item) return [none(), none(), none()];
    const study = asked.study || "";
    if (!data || data.study !== study) {
      flag(asked.item);
      return [none(), study, none()];
    }
    const group = data.groups.find((g) => g.members.some((m) => m[0] === asked.item));
    if (!group) return [none(), none(), none()];
    const home = group.members.find((m) => m[0] === asked.item)[4];
    flag(asked.item);
    return [{ item: asked.item, study }, none(), group.tiers.includes(tier) ? none() : home];
  }
  // An item that was opened from below says so where the eye is, with the way up to it.
  let gone = null;
  function flag(name) {
    const card = byId("fth-item-card"), host = byId("fth-flag");
    if (!card || !host || card.getBoundingClientRect().bottom > 80) return;
    host.textContent = name + " is open. See it ↑";
    host.hidden = false;
    clearTimeout(gone);
    gone = setTimeout(() => { host.hidden = true; }, 8000);
  }
  on("click", "#fth-flag", (button) => {
    button.hidden = true;
    window.scrollTo({ top: 0, behavior: "smooth" });
  });
  on("click", "[data-fth-attention]", () => {
    const link = document.querySelector("#fth-attention a");
    if (link) link.click();
  });
  on("click", "[data-fth-item]", (button) => {
    const sisters = button.closest(".fth-switch");
    if (sisters) sisters.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
    save("fth-picked", { item: button.dataset.fthItem, n: turn() });
  });
  walk(".fth-list", ".fth-row");
  walk(".fth-switch", "button:not(:disabled)", ALONG);

  register("attune_faith", { first, list: items, open, pick });
})();
