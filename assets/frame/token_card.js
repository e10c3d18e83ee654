// The token card in the browser: one listener for all tokens of all pages, opening, closing, and where the focus goes.
// A token is any element of class attune-tok. It says which token it is by data-token-id, or by its place in a text:
// data-token-position, below an element that has the text as data-token-text (or its tokens as data-token-ids). Where
// a click already means something else, data-token-soft leaves it alone: a double click or the key c opens the card.
// Tokens that a model has written know their text and set-up by themselves (frame/colouring.js).
(function () {
  const { byId, none, on, pickedFirst, register, save, set, turn } = window.dash_clientside.attune_kit;
  const whole = (text) => (/^\d{1,9}$/.test(text || "") ? Number(text) : null);
  const RUNNING = ".mlp-context, #mlp-strip"; // all tokens below these are one text, in order
  let opener = null;

  function about(element) {
    const data = element.dataset, ask = { id: whole(data.tokenId), turn: turn() };
    const host = element.closest("[data-token-text], [data-token-ids]"), position = whole(data.tokenPosition);
    const running = element.closest(RUNNING);
    const written = element.closest(".attune-written") && window.dash_clientside.attune.writtenAt(element);
    if (host && host.dataset.tokenSteer) ask.steer = JSON.parse(host.dataset.tokenSteer);
    if (written) {
      Object.assign(ask, written);
    } else if (host && position !== null) {
      const { tokenText, tokenIds, tokenChat, tokenGenerate } = host.dataset;
      Object.assign(ask, { position, text: tokenText || "", chat: tokenChat === "1", generate: whole(tokenGenerate) || 0 });
      if (!tokenText) ask.ids = tokenIds.split(",").map(Number);
    } else if (running) {
      const tokens = Array.from(running.querySelectorAll(".attune-tok")), ids = tokens.map((t) => whole(t.dataset.tokenId));
      if (ids.every((id) => id !== null)) Object.assign(ask, { ids, position: tokens.indexOf(element) });
    } else if (ask.id === null) {
      ask.token = data.token || element.textContent;
    }
    return ask;
  }

  // The header stays in reach, however many lines it takes.
  function fit() {
    const card = byId("card-tok"), header = document.querySelector(".attune-header");
    if (card && header) card.style.top = header.offsetHeight + "px";
  }
  window.addEventListener("resize", fit);
  function show() {
    const card = byId("card-tok"), active = document.activeElement;
    if (!card) return null;
    if (active && active !== document.body && !card.contains(active)) opener = active;
    fit();
    set("card-tok", { hidden: false });
    return card;
  }
  function open(element) {
    const ask = about(element), label = element.textContent;
    if (element.tabIndex >= 0 && !element.closest("#card-tok")) element.focus({ preventScroll: true });
    const card = show();
    if (!card) return;
    set("card-tok-word", { children: label });
    save("card-tok-ask", ask);
    requestAnimationFrame(() => card.focus({ preventScroll: true }));
  }
  function close() {
    const card = byId("card-tok");
    if (!card || card.hidden) return;
    const inside = card.contains(document.activeElement) || document.activeElement === document.body;
    set("card-tok", { hidden: true });
    save("card-tok-ask", null);
    if (inside && opener && opener.isConnected) opener.focus();
    opener = null;
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest && event.target;
    if (!target) return;
    if (target.closest("#card-tok-close")) return close();
    const button = target.closest("#card-tok-open");
    if (button) {
      const card = byId("card-tok");
      if (card && !card.hidden) return close();
      opener = button;
      show();
      return requestAnimationFrame(() => byId("card-tok-input").focus());
    }
    const token = target.closest(".attune-tok");
    if (token && !("tokenSoft" in token.dataset)) open(token);
  });
  on("dblclick", ".attune-tok[data-token-soft]", open);
  on("click", ".card-tok-why a", close); // the page that it leads to is about this token, and the card lies over it
  on("submit", "#card-tok-form", (form, event) => {
    event.preventDefault();
    // What was typed is taken from the field itself: the prop of the component arrives later.
    const token = byId("card-tok-input").value;
    set("card-tok-word", { children: "" });
    save("card-tok-ask", { token, turn: turn() });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector(".offcanvas.show, .modal.show")) {
      return close();
    }
    const written = event.target.closest && event.target.closest(".attune-written");
    const token = written ? written.querySelector(".attune-here") : event.target.closest && event.target.closest(".attune-tok");
    if (!token || event.ctrlKey || event.metaKey || event.altKey) return;
    const soft = "tokenSoft" in token.dataset, pressed = event.key === "Enter" || event.key === " ";
    const native = token.tagName === "BUTTON" || token.tagName === "A"; // whose Enter is a click
    if (event.key === "c" || (pressed && (soft ? event.shiftKey : !native))) {
      event.preventDefault();
      open(token);
    }
  });

  // A click in a figure whose points carry a token's id, alone or first, as customdata.
  function clicked(click) {
    const id = pickedFirst(click);
    if (typeof id === "number" && show()) {
      set("card-tok-word", { children: "" });
      save("card-tok-ask", { id, turn: turn() });
    }
    return none();
  }
  register("attune_token", { clicked });
})();
