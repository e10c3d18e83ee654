// The window of the speaker: what is on the screen, what to say of it, what comes next, and the time. It hears of the
// talk by a channel of this browser, and moves it by the same keys.
(function () {
  const { element, register } = window.dash_clientside.attune_kit;
  const two = (number) => String(number).padStart(2, "0");
  const clockOf = (date) => two(date.getHours()) + ":" + two(date.getMinutes());
  const passed = (ms) => Math.floor(ms / 60000) + ":" + two(Math.floor(ms / 1000) % 60);

  /** Build the window in a host; gives { show(at, state) }. `talk`: { screens, theme, library }. */
  function speaker(host, talk) {
    const T = window.dash_clientside.attune_talk;
    const began = Date.now();
    const now = element("div", { class: "speaker-now", "aria-live": "polite" });
    const notes = element("div", { class: "speaker-notes", tabindex: 0, role: "region", "aria-label": "Notes" });
    const next = element("div", { class: "speaker-next", "aria-label": "Next screen", role: "region" });
    const time = element("p", { class: "speaker-time" });
    host.classList.add("speaker");
    host.append(element("div", { class: "speaker-left" }, now, notes), element("div", { class: "speaker-right" }, time, element("h2", {}, "Next"), next));
    const tick = () => { time.textContent = clockOf(new Date()) + " · " + passed(Date.now() - began); };
    tick();
    setInterval(tick, 1000);

    const part = (title, source) => (source ? [element("h2", {}, title), T.html("div", { class: "talk-prose" }, source)] : []);
    // The next screen as it will stand, made small as a whole.
    let drawing = 0;
    async function preview(screen) {
      const turn = (drawing += 1);
      T.empty(next);
      next.replaceChildren();
      if (!screen) { next.append(element("p", { class: "talk-quiet" }, "This was the last screen.")); return; }
      const frame = T.frameOf(screen);
      frame.inert = true;
      frame.classList.add("talk-shown");
      frame.style.transform = "scale(" + next.clientWidth / 1280 + ")";
      next.append(frame);
      await T.fill(frame, screen, talk.theme(), talk.library);
      if (turn !== drawing) frame.remove();
    }
    function show(at, black) {
      const screen = talk.screens[at], texts = screen.html;
      now.replaceChildren(element("p", { class: "speaker-place" }, "Screen " + (at + 1) + " of " + talk.screens.length + (black ? " · black" : "")),
        screen.titleHtml ? T.html("h1", {}, screen.titleHtml) : element("h1", {}, screen.title));
      const said = [...part("Say", texts.speaker), ...part("Counter-example", texts.counter), ...part("Note", screen.kind === "text" ? "" : texts.note)];
      notes.replaceChildren(...(said.length ? said : [element("p", { class: "talk-quiet" }, "No notes for this screen.")]));
      T.controlsOf(screen, talk.theme()).then((controls) => {
        if (controls.length && host.dataset.at === String(at)) notes.append(element("div", { class: "speaker-control" }, controls));
      }).catch(() => {}); // the preview says what is wrong with a view
      if (host.dataset.at !== String(at)) preview(talk.screens[at + 1]);
      host.dataset.at = String(at);
    }
    return { show };
  }

  register("attune_talk", { speaker });
})();
