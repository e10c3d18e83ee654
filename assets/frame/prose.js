// Notes on their way into a page. The server has rendered them and let them through an allow-list
// (components/findings/prose.py); here each element is built anew by name, so that nothing that came as markup is ever
// put into the page as markup. It needs kit.js alone, so that a page without Dash shows notes as well.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const TAGS = new Set("P BR HR H1 H2 H3 H4 H5 H6 UL OL LI BLOCKQUOTE PRE CODE EM STRONG S A SPAN TABLE THEAD TBODY TR TH TD"
    .split(" "));
  const CLASSES = new Set(["fnd-number", "fnd-unbound", "fnd-numeral"]);
  const TYPED = "This number was typed: it is bound to no result and will not follow one.";
  // A note stands below the claim of its finding, so its own headings are below that.
  const LOWER = { H1: "h4", H2: "h5", H3: "h6", H4: "h6", H5: "h6" };

  function attributes(node) {
    if (node.tagName === "A") {
      const href = node.getAttribute("href") || "";
      if (!/^(https?:\/\/|mailto:|\/(?![/\\]))/i.test(href)) return {};
      const own = href.startsWith("/");
      return { href, title: node.getAttribute("title"), rel: own ? null : "noopener noreferrer nofollow", target: own ? null : "_blank" };
    }
    if (node.tagName === "OL") return { start: node.getAttribute("start") };
    const kind = node.tagName === "SPAN" && CLASSES.has(node.className) ? node.className : null;
    return kind ? { class: kind, title: kind === "fnd-numeral" ? TYPED : node.getAttribute("title") } : {};
  }
  function built(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.nodeType !== Node.ELEMENT_NODE) return null;
    const children = Array.from(node.childNodes, built);
    if (!TAGS.has(node.tagName)) return children;
    return element(LOWER[node.tagName] || node.tagName.toLowerCase(), attributes(node), children);
  }
  /** The nodes of a rendered text. */
  function nodes(html) {
    const inert = new DOMParser().parseFromString(html || "", "text/html");
    return Array.from(inert.body.childNodes, built).flat(9).filter((node) => node !== null);
  }

  register("attune_prose", { nodes });
})();
