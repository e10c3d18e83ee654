// What every script of a page builds on: elements, long lists, walking by keys, answers in lines, files, packed cells.
// The app loads this one first, then frame/, then those of pages (app.py). No text from a model or a user ever becomes
// HTML: it goes in through text nodes and attributes, and into figures after escaping.
(function () {
  window.dash_clientside = window.dash_clientside || {};
  /** Make functions known to Dash as `dash_clientside.NAME`. Scripts of one name share it. */
  const register = (name, functions) => {
    window.dash_clientside[name] = Object.assign(window.dash_clientside[name] || {}, functions);
  };

  // ---- Dash ----
  const none = () => window.dash_clientside.no_update;
  /** What has changed: [{ prop_id, value }]. */
  const triggered = () => window.dash_clientside.callback_context.triggered;
  /** The id of the first of these. */
  const triggeredId = () => window.dash_clientside.callback_context.triggered_id;
  /** Set props of a component; this takes effect at once, whatever is under way. */
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  /** Save into a store. */
  const save = (id, data) => set(id, { data });
  /** A prop of a component as it is now; undefined where there is no such component. */
  const read = (id, name) => {
    let layout;
    try {
      layout = window.dash_component_api.getLayout(id);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // so Dash answers for a component that has left the page
    }
    return layout && layout.props ? layout.props[name] : undefined;
  };
  const byId = (id) => document.getElementById(id);
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  let turns = 0;
  /** A number that no other press of this window has: a store that gets it has changed, whatever else it holds. */
  const turn = () => (turns += 1);

  // Behind a proxy that serves the app under a prefix, every path that the browser asks for begins with it.
  const config = byId("_dash-config");
  const prefix = (config ? JSON.parse(config.textContent).requests_pathname_prefix || "/" : "/").replace(/\/$/, "");
  const local = (path) => prefix + path;
  const bare = (path) => (prefix && path.startsWith(prefix + "/") ? path.slice(prefix.length) : path);

  /** Whether an address leads to a page of this app: not to another site, a script, or one in disguise. */
  const isOwn = (address) => /^\/(?![/\\])/.test(address || "");

  // ---- text ----
  const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

  // ---- elements ----
  /**
   * An element. Attributes that are null or undefined are left out, `style` is an object; children are elements, texts,
   * numbers, or lists of these.
   */
  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([name, value]) => {
      if (value === null || value === undefined) return;
      if (name === "style") Object.entries(value).forEach(([rule, v]) => made.style.setProperty(rule, v));
      else made.setAttribute(name, value);
    });
    made.append(...children.flat(9).filter((c) => c !== null && c !== undefined));
    return made;
  }
  /** An element, or text, from a plain tree {t: tag, a: attributes, s: style, c: content} (pages/frame/drawn.py). */
  const grown = (node) => (typeof node === "string" ? node
    : element(node.t, { ...node.a, style: node.s || {} }, ...[node.c === undefined ? [] : node.c].flat(9).map(grown)));

  // ---- lists ----
  const FOCUSABLE = "button, [tabindex], summary";
  const nameOf = (e) => JSON.stringify([e.tagName, e.dataset, e.textContent]);
  /**
   * Draw a list anew. Whoever is at a place of it stays there: the scroll, and the focus if an element of the same name
   * can still have it. The row that is current is brought into view when what it shows, `shown(row)`, is not what was
   * shown before. `name` tells an element from the others.
   */
  function list(host, rows, shown = () => "", name = nameOf) {
    const focused = host.contains(document.activeElement) ? name(document.activeElement) : null;
    const top = host.scrollTop;
    host.replaceChildren(...rows);
    host.scrollTop = top;
    const chosen = host.querySelector("[aria-current=true]"), current = shown(chosen) || "";
    if (chosen && host.dataset.shown !== current) {
      const row = chosen.getBoundingClientRect(), box = host.getBoundingClientRect();
      if (row.bottom > box.bottom) host.scrollTop += row.bottom - box.bottom;
      if (row.top < box.top) host.scrollTop -= box.top - row.top;
    }
    host.dataset.shown = current;
    const again = focused && Array.from(host.querySelectorAll(FOCUSABLE)).find((e) => name(e) === focused);
    if (again) again.focus({ preventScroll: true });
  }

  // ---- presses and keys: one listener for all elements that match ----
  /** Call `then(element, event)` for an event at, or inside, an element that the selector matches. */
  function on(kind, selector, then) {
    document.addEventListener(kind, (event) => {
      const target = event.target.closest && event.target.closest(selector);
      if (target) then(target, event);
    });
  }
  /** Call `then` before the next picture, at most once for each, whenever the page has changed as `what` says. */
  function whenChanged(then, what) {
    let planned = false;
    new MutationObserver(() => {
      if (planned) return;
      planned = true;
      window.requestAnimationFrame(() => { planned = false; then(); });
    }).observe(document.documentElement, what);
  }
  const TYPED = "input:not([type=checkbox]):not([type=radio]):not([type=range]):not([type=button]), textarea, select, " +
    "[contenteditable=true], [role=combobox], [role=listbox], [role=option], [role=menuitem], iframe";
  const OPEN = "dialog[open], .offcanvas.show, .modal.show, .dropdown-menu.show, .card-tok:not([hidden]), .tour";
  /** Whether a key is pressed for itself: with no other key, not held, not taken already, and not while text is typed. */
  const isShortcut = (event) => !(event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented
    || (event.target.closest && event.target.closest(TYPED)));
  /** Whether something lies over the page that Escape closes. */
  const isCovered = () => !!document.querySelector(OPEN);
  const DOWN = { ArrowDown: 1, ArrowUp: -1 };
  const ALONG = { ArrowRight: 1, ArrowLeft: -1 };
  /** Keys walk through the rows of a list, as in a list box: `steps` says how far each key goes. */
  function walk(host, row, steps = DOWN) {
    on("keydown", host + " " + row, (here, event) => {
      const by = steps[event.key];
      if (!by) return;
      const rows = Array.from(here.closest(host).querySelectorAll(row));
      rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(here) + by))].focus();
      event.preventDefault();
    });
  }
  /** The customdata of the point that was clicked in a figure, or null. */
  const picked = (click) => {
    const point = click && click.points && click.points[0];
    return point && point.customdata !== undefined ? point.customdata : null;
  };
  /** As `picked`, and the first entry where it is a list. */
  const pickedFirst = (click) => [picked(click)].flat()[0];

  // ---- answers in lines ----
  /** POST a body and call `take` with every line of the answer, read as JSON. Throws what fetch does, and on a refusal. */
  async function stream(path, body, take, signal) {
    const response = await fetch(local(path), { method: "POST", signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body) });
    if (!response.ok || !response.body) throw new Error("The server answered " + response.status + ".");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || signal.aborted) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line && !signal.aborted) take(JSON.parse(line));
    }
  }
  /** POST a body whose answer nobody waits for; it goes out even while the page is left. */
  const tell = (path, body) => {
    fetch(local(path), { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body) }).catch(() => {});
  };

  // ---- files and packed numbers ----
  const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  /** Hand a file to the browser's downloads. */
  function download(name, kind, content) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type: kind }));
    const link = element("a", { href: url, download: name });
    document.body.appendChild(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  const unpacked = new Map();
  /** The lower triangle that components/kit/cells.py packed, as rows of float32; NaN above the diagonal and for none. */
  async function unpack(packed) {
    const key = packed.cells;
    if (unpacked.has(key)) return unpacked.get(key);
    const inflated = new Blob([bytesOf(key)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(inflated).arrayBuffer();
    const flat = packed.signed ? new Int8Array(buffer) : new Uint8Array(buffer);
    const rows = [];
    const levels = packed.signed ? 127 : 255;
    for (let i = 0, at = 0; i < packed.size; i += 1) {
      const row = new Float32Array(packed.size).fill(NaN);
      for (let j = 0; j <= i; j += 1, at += 1) {
        row[j] = packed.signed && flat[at] === -128 ? NaN : (flat[at] / levels) * packed.max;
      }
      rows.push(row);
    }
    if (unpacked.size > 6) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(key, rows);
    return rows;
  }

  register("attune_kit", { ALONG, bare, byId, bytesOf, download, element, escape, grown, isCovered, isOwn, isShortcut, list,
    local, none, on, picked, pickedFirst, read, register, same, save, set, short, stream, tell, triggered, triggeredId, turn,
    unpack, walk, whenChanged });
})();
