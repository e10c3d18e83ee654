// A board as screens, and one screen as elements: a finding with its claim as the title, its views side by side with
// their controls, caption and settings small; a section as a title; a note as text. Titles and notes come as HTML that
// the server has made and sanitised (components/findings/prose.py); all else goes in through text nodes.
(function () {
  const { element, local, register } = window.dash_clientside.attune_kit;
  const exhibits = window.dash_clientside.attune_exhibit;
  /** Views beside each other on one screen; further ones have the next. */
  const BESIDE = 2;
  const SMALLEST = 200;
  const LONG = 16; // rows of a table
  const READ = 0.8; // the least share of its size at which a table is read from the back

  /** Text that the server has made into HTML, as elements (assets/frame/prose.js). */
  const html = (tag, attributes, source) => element(tag, attributes, window.dash_clientside.attune_prose.nodes(source));
  /** What a finding without a claim is called: as its views are. */
  const titleOf = (pins) => [...new Set(pins.map((pin) => pin.title))].join(", ") || "Finding";
  const chunks = (list) => {
    const parts = [];
    for (let i = 0; i < list.length; i += BESIDE) parts.push(list.slice(i, i + BESIDE));
    return parts.length ? parts : [[]];
  };
  /** The screens of a board as the server gives it ({board, items, pins}): the first is its title. */
  function screensOf({ board, items, pins }) {
    const findings = items.filter((item) => item.kind === "finding").length;
    const first = { item: "", kind: "title", title: board.title, html: {}, pins: [],
      under: findings + (findings === 1 ? " finding" : " findings") };
    return [first, ...items.flatMap((item) => {
      const { body, html: texts } = item, shared = { item: item.id, html: texts };
      if (item.kind === "section") return [{ ...shared, kind: "title", title: body.title || "Section", titleHtml: texts.title, pins: [] }];
      if (item.kind === "note") return [{ ...shared, kind: "text", title: body.title || "", titleHtml: texts.title, pins: [] }];
      if (item.kind === "step") return [{ ...shared, kind: "text", title: body.claim || body.title || "Step", titleHtml: texts.claim || texts.title, pins: [], address: body.address }];
      const there = (body.pins || []).map((id) => pins[id]).filter(Boolean), parts = chunks(there);
      return parts.map((part, i) => ({ ...shared, kind: "finding", title: body.claim || titleOf(part), titleHtml: texts.claim, pins: part,
        part: parts.length > 1 ? i + 1 + " of " + parts.length : "" }));
    })];
  }

  // ---- exhibits, kept by pin and theme ----
  const kept = new Map();
  function exhibitOf(pin, theme) {
    return once(pin + " " + theme, () => exhibits.fetched(pin, theme));
  }
  function once(key, get) {
    if (!kept.has(key)) {
      const coming = get();
      kept.set(key, coming);
      coming.catch(() => kept.delete(key));
    }
    return kept.get(key);
  }
  const alike = (pins) => pins.length > 1 && pins.every((pin) => pin.figure && pin.view === pins[0].view);
  /** A view as its screen shows it: beside others of its kind in shared axes, with what tells it apart in its title. */
  async function viewOf(pin, pins, theme) {
    if (!alike(pins)) return withMarks(await exhibitOf(pin.id, theme));
    const path = "/compare?theme=" + theme + "&pins=" + pins.map((each) => each.id).join(",");
    const group = await once(path, () => answerOf(path)), n = pins.indexOf(pin), shown = group.exhibits[n];
    return withMarks({ ...shown, title: shown.title + (group.apart[n] ? ": " + group.apart[n] : "") });
  }

  // ---- what became of a pin ----
  let changes = {};
  /** By pin a sentence on what has changed since it was pinned; nothing is computed for it. Throws where nobody answers. */
  async function changesOf(board) {
    changes = (await answerOf("/boards/" + encodeURIComponent(board) + "/stale")).stale;
    return changes;
  }
  /** An exhibit with what a room has to know of it: that it is stale, or came out otherwise when it was computed again. */
  function withMarks(exhibit) {
    const check = exhibit.check && exhibit.check.state !== "equal" ? exhibit.check : null, stale = changes[exhibit.id] || null;
    return { ...exhibit, check, stale: check && check.text.includes(stale) ? null : stale, frozen: null };
  }

  // ---- one screen ----
  /** Settings as pairs of name and text, what is within an object each for itself; what is empty or off left out. */
  const flat = (name, value) => {
    if (value === null || value === undefined || value === "" || value === false) return [];
    if (Array.isArray(value)) return value.some((part) => part !== null && typeof part === "object")
      ? value.flatMap((part) => flat(name, part)) : value.some(Boolean) ? [name + " " + value.join(" ")] : [];
    return typeof value === "object" ? Object.entries(value).flatMap(([inner, part]) => flat(inner, part)) : [name + " " + value];
  };
  const SHORT = 40;
  const settingsLine = (exhibit) => {
    const models = exhibit.models.map((m) => [m.label || m.source, m.dtype].filter(Boolean).join(", "));
    const { model, view, ...rest } = exhibit.settings; // the model stands in front by its label, the view is the title
    const settings = Object.entries(rest).flatMap(([name, value]) => flat(name.replaceAll("_", " "), value))
      .sort((a, b) => (a.length > SHORT) - (b.length > SHORT)); // the end of the line may be cut
    return [...(models.length ? models : flat("model", model)), ...settings, "pinned " + exhibit.date.slice(0, 16).replace("T", " "), view].join(" · ");
  };
  const heading = (screen, attributes) => {
    const made = screen.titleHtml ? html("h1", attributes, screen.titleHtml) : element("h1", attributes, screen.title);
    if (screen.part) made.append(element("span", { class: "talk-part" }, screen.part));
    return made;
  };
  /** An empty screen in its place, unseen; `fill` draws it. */
  function frameOf(screen) {
    const made = element("section", { class: "talk-screen talk-" + screen.kind, "aria-label": screen.title });
    made.append(heading(screen, { tabindex: -1, class: "talk-claim" }));
    if (screen.under) made.append(element("p", { class: "talk-under" }, screen.under));
    if (screen.kind === "text") made.append(html("div", { class: "talk-prose" }, screen.html.note));
    return made;
  }
  /** Draw the views of a screen into its frame, which has its size by now. */
  async function fill(frame, screen, theme, library) {
    if (screen.kind !== "finding") return;
    frame.querySelectorAll(".talk-views").forEach((old) => { empty(old); old.remove(); });
    const row = element("div", { class: "talk-views", "data-views": screen.pins.length });
    frame.append(row);
    if (!screen.pins.length) row.append(html("div", { class: "talk-prose" }, screen.html.note));
    const views = screen.pins.map((pin) => {
      const host = element("div", { class: "talk-exhibit" }), caption = element("p", { class: "talk-caption" });
      const settings = element("p", { class: "talk-settings" });
      row.append(element("div", { class: "talk-view", "data-pin-shown": pin.id }, host, caption, settings));
      return { pin, host, caption, settings };
    });
    await Promise.all(views.map((view) => one(view, screen, theme, library).catch((error) => {
      view.host.replaceChildren(element("p", { class: "talk-refused" }, "This view cannot be shown: " + error.message));
    })));
  }
  async function one({ pin, host, caption, settings }, screen, theme, library) {
    const exhibit = await viewOf(pin, screen.pins, theme);
    caption.textContent = exhibit.caption;
    settings.textContent = settings.title = settingsLine(exhibit);
    const options = { theme, big: true, caption: false, settings: false, title: screen.pins.length > 1,
      beside: screen.pins.length === 1 && Boolean(exhibit.control), plotly: library, again: (other) => viewOf(pin, screen.pins, other) };
    const room = host.clientHeight;
    await exhibits.draw(host, exhibit, { ...options, height: room });
    fitControl(host, room, options.beside);
    // What stands around the figure takes its room from it: nothing is cut, and nothing scrolls.
    // A lower figure may show its names in parts, and a line that says which: hence more than one try.
    const over = () => (options.beside ? host.querySelector(".attune-exhibit-main") : host).scrollHeight - room;
    for (let height = room, tries = 0; tries < 3 && exhibit.figure && over() > 0 && height > SMALLEST; tries += 1) {
      height = Math.max(SMALLEST, height - over() - 2);
      await exhibits.draw(host, exhibit, { ...options, height });
      fitControl(host, room, options.beside);
    }
    // A long table, and what must be scrolled in any case, is not written so small that nobody reads it; the control
    // keeps its letters.
    const least = exhibit.parts.some((part) => part.kind === "table" && part.rows.length > LONG) ? READ : 0.55;
    const main = host.querySelector(".attune-exhibit-main");
    const below = () => host.querySelector(".attune-exhibit-rest").offsetHeight + (parseFloat(getComputedStyle(main.parentElement).rowGap) || 0);
    const left = room - (options.beside ? 0 : below());
    const fits = left / main.scrollHeight;
    if (!exhibit.figure && fits < 1) main.style.zoom = String(fits < least ? READ : fits);
  }
  /** A long control is written smaller, but never below 16 px; where that is not enough, its numbers are left to `c`. */
  function fitControl(host, room, beside) {
    const rest = host.querySelector(".attune-exhibit-rest"), most = beside ? room : room / 3;
    const over = () => rest.getBoundingClientRect().height > most;
    for (let zoom = 1; zoom >= 0.79; zoom -= 0.05) {
      rest.style.zoom = String(zoom);
      if (!over()) return;
    }
    rest.querySelectorAll(".attune-exhibit-pairs").forEach((numbers) => { numbers.hidden = true; });
  }
  const empty = (frame) => frame.querySelectorAll(".talk-exhibit").forEach((host) => exhibits.clear(host));

  /** What the server answers. Throws its sentence. */
  async function answerOf(path) {
    const response = await fetch(local("/findings/api" + path));
    const answer = response.ok ? await response.json() : { refused: "The server answered " + response.status + "." };
    if (answer.refused || answer.gone) throw new Error(answer.refused || answer.gone);
    return answer;
  }
  /** The board of an id. Throws the server's sentence. */
  const boardOf = (id) => answerOf("/boards/" + encodeURIComponent(id));

  /** The whole controls of a screen, as elements. */
  const controlsOf = (screen, theme) => Promise.all(screen.pins.map(async (pin) => {
    const { title, control } = await exhibitOf(pin.id, theme);
    return element("section", {}, screen.pins.length > 1 ? element("h2", {}, title) : null, exhibits.control(control));
  }));

  register("attune_talk", { boardOf, changesOf, controlsOf, empty, exhibitOf, fill, frameOf, html, screensOf });
})();
