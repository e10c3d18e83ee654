// The views of a finding: fetched and drawn when they come into sight. Views of one kind stand in shared axes, two of them
// with their difference; a view that was computed again and moved has the new picture beside the old one.
(function () {
  const { element, local, register, same } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const exhibit = window.dash_clientside.attune_exhibit;
  const ONE = 420, MANY = 340; // the largest height of a figure alone, and of one beside others
  const theme = () => document.documentElement.getAttribute("data-bs-theme") || "light";

  /** The pins of an item that can share axes: those of the view that most of its pins are of, if there are two or more. */
  function group(pins) {
    const by = new Map();
    pins.forEach((pin) => { if (pin.figure) by.set(pin.view, [...(by.get(pin.view) || []), pin.id]); });
    const largest = [...by.values()].sort((a, b) => b.length - a.length)[0] || [];
    return largest.length > 1 ? largest : [];
  }
  /** The exhibit of one pin, in the axes that it shares with the others of its group. */
  function fetchers(ids) {
    const pairs = new Map(); // by theme
    const whole = (of) => {
      if (!pairs.has(of)) {
        const asked = F.ask("/compare?theme=" + of + "&pins=" + ids.join(","));
        pairs.set(of, asked);
        asked.catch(() => pairs.delete(of)); // it is asked again the next time
      }
      return pairs.get(of);
    };
    /** What tells a view of the group apart from the others; empty where nothing does, or it is in no group. */
    const apart = async (id) => (ids.includes(id) ? (await whole(theme())).apart[ids.indexOf(id)] : "");
    return { apart, whole, one: (id) => (of) => (ids.includes(id) ? whole(of).then((answer) => answer.exhibits[ids.indexOf(id)])
      : exhibit.fetched(id, of)) };
  }

  /** Draw into `host` once it comes near the part of the page that is seen. */
  const waiting = new Map();
  const seen = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach(({ target }) => {
    seen.unobserve(target);
    const act = waiting.get(target);
    waiting.delete(target);
    if (act) act();
  }), { rootMargin: "300px" });
  const whenSeen = (host, act) => { waiting.set(host, act); seen.observe(host); };
  async function drawn(host, get, options) {
    host.setAttribute("aria-busy", "true");
    try {
      const data = await get(theme());
      if (host.isConnected) await exhibit.draw(host, data, { theme: theme(), title: false, marks: false, again: get, ...options });
    } catch (error) {
      host.replaceChildren(element("p", { class: "attune-note fnd-lost" }, error.message));
    }
    host.removeAttribute("aria-busy");
  }

  function card(it, pin, place, count, get, apart) {
    const height = Math.min(pin.height || 360, count > 1 ? MANY : ONE), beside = count === 1;
    const host = element("div", { class: "fnd-exhibit", style: { "min-height": (pin.figure ? height + (beside ? 30 : 140) : 90) + "px" } });
    const check = element("div", { class: "fnd-check" }), why = element("div", { class: "fnd-why" });
    const again = element("div", { class: "fnd-again" }), which = element("p", { class: "fnd-apart", dir: "auto" });
    const open = element("a", { class: "fnd-link", href: local(pin.address || "/"), "aria-label": "Open: " + pin.title,
      title: "The page at exactly this view" }, "Open");
    const tools = F.menu("More on " + pin.title, [
      place > 0 && ["Earlier", () => F.shift(it, pin.id, -1)],
      place < count - 1 && ["Later", () => F.shift(it, pin.id, 1)],
      ["Move to another finding …", () => F.moveView(it, pin.id)],
      ["A finding of its own", () => F.splitView(it, pin.id)],
      ["A step of a tour …", () => F.asStep(it, pin.id)],
      ["Take off", () => F.takeOff(it, pin.id)],
    ]);
    const section = element("section", { class: "fnd-view", "data-view": pin.id, "aria-label": pin.title },
      element("div", { class: "fnd-view-head" }, element("h4", { dir: "auto" }, pin.title), check, open, tools), which, why,
    element("div", {}, element("h5", { class: "fnd-then" }, "As it was pinned"), host), again);
    whenSeen(host, () => {
      drawn(host, get, { height, beside });
      apart(pin.id).then((words) => { which.textContent = words; }).catch(() => {}); // why there is no picture stands there
    });
    let state = null;
    function update() {
      const now = [F.desk.checks[pin.id] || null, F.desk.stale[pin.id] || ""];
      if (same(now, state)) return;
      state = now;
      const { marks, texts } = F.verdict(...now);
      check.replaceChildren(...marks);
      why.replaceChildren(...texts);
      exhibit.clear(again);
      const moved = now[0] && now[0].state === "moved" && now[0].again;
      section.classList.toggle("fnd-moved", Boolean(moved));
      requestAnimationFrame(() => window.dispatchEvent(new Event("resize"))); // the old picture has another width now
      if (!moved) return;
      const box = element("div", { class: "fnd-exhibit" });
      again.replaceChildren(element("h5", {}, "Computed again"), box);
      drawn(box, (of) => F.ask("/pins/" + pin.id + "/again?theme=" + of), { height, beside: false, settings: false });
    }
    update();
    return { element: section, update };
  }

  /** The difference of two views, new minus old, behind a button. */
  function difference(ids, whole) {
    const host = element("div", { class: "fnd-exhibit" });
    const press = F.link("Show the difference", async () => {
      const shown = press.getAttribute("aria-expanded") === "true";
      press.setAttribute("aria-expanded", String(!shown));
      press.textContent = shown ? "Show the difference" : "Hide the difference";
      exhibit.clear(host);
      if (shown) return;
      try {
        const get = (of) => whole(of).then(({ difference: minus }) => minus);
        const { difference: minus, why } = await whole(theme());
        if (minus) drawn(host, get, { height: MANY, control: false, settings: false });
        else host.replaceChildren(element("p", { class: "attune-note" }, why));
      } catch (error) { host.replaceChildren(element("p", { class: "attune-note" }, error.message)); }
    }, { "aria-expanded": "false" });
    return element("div", { class: "fnd-difference" }, press, host);
  }

  /** All views of an item. Gives { element, update }. */
  function views(it) {
    const host = element("div", { class: "fnd-views" });
    let cards = [], drawnOf = null;
    function update() {
      const ids = (F.value(it, "pins") || []).filter((id) => F.desk.pins[id]);
      if (!same(ids, drawnOf)) {
        drawnOf = ids;
        const pins = ids.map((id) => F.desk.pins[id]), shared = group(pins), get = fetchers(shared);
        host.querySelectorAll(".fnd-exhibit").forEach(exhibit.clear);
        cards = pins.map((pin, i) => card(it, pin, i, pins.length, get.one(pin.id), get.apart));
        host.classList.toggle("fnd-many", pins.length > 1);
        host.replaceChildren(...cards.map((c) => c.element), ...(shared.length === 2 ? [difference(shared, get.whole)] : []));
      }
      cards.forEach((c) => c.update());
    }
    update();
    return { element: host, update };
  }

  register("attune_findings", { views });
})();
