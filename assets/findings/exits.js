// Handing a board over: the texts that would leave, each to be shown, hidden or replaced; the files; the link. What was
// chosen is remembered in this browser, by checksums of the texts and not by the texts.
(function () {
  const { download, element, local, register, short } = window.dash_clientside.attune_kit;
  const F = window.dash_clientside.attune_findings;
  const REST = 900; // ms after a choice until the sizes are asked for again
  const KINDS = { prompt: "prompt", written: "written text", path: "path", title: "title", claim: "claim", note: "note",
    counter: "counter-example", speaker: "speaker note", sentence: "sentence" };
  /** The texts that are shown at once; what answers say is folded, as there may be hundreds. */
  const FIRST = new Set(["prompt", "written", "path"]);
  const OWN = new Set(["title", "claim", "note", "counter", "speaker"]);

  // ---- what is hidden ----
  const keyOf = (board) => "attune-hidden-" + board;
  function recalled(board) {
    try { return JSON.parse(localStorage.getItem(keyOf(board))) || {}; } catch { return {}; }
  }
  function remember(board, choices) {
    try { localStorage.setItem(keyOf(board), JSON.stringify(choices)); } catch { /* private window */ }
  }
  function textRow(text, choices, changed) {
    const hidden = text.id in choices, words = choices[text.id] || "";
    const named = KINDS[text.kind] + " “" + short(text.text, 40) + "”";
    const field = element("input", { class: "fnd-exit-instead", maxlength: 200, placeholder: "[text]", dir: "auto", "aria-label": "In the place of the " + named });
    field.value = words;
    const select = element("select", { "aria-label": "What becomes of the " + named, "data-text": text.id },
      [["show", "leaves"], ["hide", "hide"], ["replace", "replace"]].map(([value, word]) => element("option", { value }, word)));
    select.value = !hidden ? "show" : words ? "replace" : "hide";
    field.hidden = select.value !== "replace";
    const row = element("li", { class: "fnd-exit-text" }, element("span", { class: "fnd-exit-kind" }, KINDS[text.kind]),
      element("span", { class: "fnd-exit-words", dir: "auto", title: text.where.join(" · ") }, short(text.text, 240)), select, field);
    const note = () => {
      field.hidden = select.value !== "replace";
      row.dataset.hidden = select.value === "show" ? "" : "yes";
      if (select.value === "show") delete choices[text.id];
      else choices[text.id] = select.value === "replace" ? field.value : "";
      changed();
    };
    select.addEventListener("change", () => { note(); if (!field.hidden) field.focus(); });
    field.addEventListener("input", note);
    row.dataset.hidden = hidden ? "yes" : "";
    return row;
  }
  function textsOf(told, choices, changed) {
    const groups = [told.texts.filter((t) => FIRST.has(t.kind)), told.texts.filter((t) => OWN.has(t.kind)), told.texts.filter((t) => t.kind === "sentence")];
    const rows = (texts) => element("ul", { class: "fnd-exit-texts" }, texts.map((text) => textRow(text, choices, changed)));
    const fold = (texts, words) => (texts.length ? element("details", {}, element("summary", {}, words(texts.length)), rows(texts)) : null);
    const all = (value) => () => {
      host.querySelectorAll(".fnd-exit-texts:first-of-type select").forEach((select) => {
        if (!groups[0].some((t) => t.id === select.dataset.text)) return;
        select.value = value;
        select.dispatchEvent(new Event("change"));
      });
    };
    const host = element("section", { "aria-label": "What leaves" }, element("h3", {}, "What leaves"),
      element("p", { class: "attune-note" }, "What is hidden goes from figures, labels, settings, tables, notes and addresses, word by word, and by its whole numbers of four digits and more. A view that shows it leaves without its answers and its picture."),
      groups[0].length ? element("div", { class: "attune-row" }, F.link("Hide all prompts and texts", all("hide")), F.link("Let all leave", all("show"))) : null,
      groups[0].length ? rows(groups[0]) : element("p", {}, "No prompt and no text stands on this board."),
      fold(groups[1], (n) => n + (n === 1 ? " text" : " texts") + " of your own: title, claims, notes"),
      fold(groups[2], (n) => n + (n === 1 ? " sentence" : " sentences") + " of answers and views"));
    return host;
  }

  // ---- files ----
  function size(bytes) {
    return bytes < 1e5 ? Math.max(1, Math.round(bytes / 1e3)) + " kB" : (bytes / 1e6).toFixed(1) + " MB";
  }
  /** POST, and give the file that comes back to the downloads. Throws the sentence of a refusal. */
  async function fetchFile(board, name, asked) {
    const response = await fetch(local("/findings/api/export/" + board + "/file/" + name), { method: "POST",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
    if (!response.ok) throw new Error("The server answered " + response.status + ".");
    const named = /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") || "");
    if (!named) throw new Error((await response.json()).refused || "This file could not be made.");
    download(named[1], "", await response.blob());
    return named[1];
  }
  function filesOf(board, told, choices, say) {
    const busy = async (button, words, act) => {
      button.disabled = true;
      say(words);
      try { say(await act()); } catch (error) { say(error.message); } finally { button.disabled = false; }
    };
    const rows = told.exits.map((way) => {
      const button = F.button("Download", () => busy(button, "Making the " + way.title.toLowerCase() + " …",
        async () => "Downloaded " + await fetchFile(board, way.name, { choices, stamp: told.stamp }) + "."), { "aria-label": "Download " + way.title, "data-exit": way.name });
      return element("tr", {}, element("th", { scope: "row" }, way.title), element("td", {}, way.words),
        element("td", { class: "fnd-exit-size", "data-size": way.name }, way.name === "pdf" ? "" : "…"), element("td", {}, button));
    });
    const print = F.button("Open", () => busy(print, "Making the page …", async () => {
      const { address } = await F.ask("/export/" + board + "/print", { choices, stamp: told.stamp });
      window.open(address, "_blank", "noopener");
      return "Print it from the browser's menu; each finding begins a new sheet.";
    }), { "aria-label": "Open the page for print", "data-exit": "print" });
    rows.push(element("tr", {}, element("th", { scope: "row" }, "Print"), element("td", {}, "the static page in a window, for this browser's printer"), element("td"), element("td", {}, print)));
    return element("section", { "aria-label": "Files" }, element("h3", {}, "Files"), element("table", { class: "fnd-exits" }, element("tbody", {}, rows)));
  }

  // ---- the link ----
  function linkOf(board, told, choices, say) {
    const host = element("section", { "aria-label": "Link" });
    const act = (path, body, words) => async () => {
      try { Object.assign(told, await F.ask("/export/" + board + "/" + path, body()), path === "withdraw" ? { hidden: 0 } : {}); draw(); say(words); } catch (error) { say(error.message); }
    };
    function draw() {
      const make = act("share", () => ({ choices, stamp: told.stamp }), "The link shows the board as it is now.");
      const field = element("input", { class: "fnd-exit-link", readonly: "", "aria-label": "Address of the link" });
      field.value = told.link ? window.location.origin + told.link : "";
      field.addEventListener("focus", () => field.select());
      const count = told.hidden === 1 ? "One text is" : told.hidden + " texts are";
      host.replaceChildren(element("h3", {}, "Link"),
        element("p", { class: "attune-note" }, !told.link ? "A read-only page of this board for whoever has the address. It runs nothing and reaches nothing else; you can withdraw it."
          : told.hidden ? count + " hidden in it, so it stays as it is until you update it." : "It follows the board."),
        told.link ? element("div", { class: "attune-row" }, field,
          F.button("Copy", async () => { try { await navigator.clipboard.writeText(field.value); say("Copied."); } catch { field.select(); say("Copy it from the field."); } }),
          F.button("Update", make), F.button("Withdraw", act("withdraw", () => ({}), "The link leads nowhere any more.")))
          : F.button("Make a link", make, { "data-exit": "link" }));
    }
    draw();
    return host;
  }

  // ---- the dialog ----
  async function handOver(board) {
    let told;
    await F.saveAll(); // what is listed is what leaves
    try { told = await F.ask("/export/" + board.id); } catch (error) { F.say("action", error.message); return; }
    const known = new Set(told.texts.map((text) => text.id));
    const choices = Object.fromEntries(Object.entries(recalled(board.id)).filter(([id]) => known.has(id)));
    const status = element("p", { class: "fnd-exit-status", role: "status" });
    const say = (words) => { status.textContent = words; };
    let timer = null, asked = 0;
    async function measure() {
      const turn = (asked += 1);
      try {
        const { sizes } = await F.ask("/export/" + board.id + "/sizes", { choices });
        if (turn !== asked) return;
        Object.entries(sizes).forEach(([name, bytes]) => { const cell = body.querySelector('[data-size="' + name + '"]'); if (cell) cell.textContent = size(bytes); });
      } catch (error) { say(error.message); }
    }
    const changed = () => {
      remember(board.id, choices);
      clearTimeout(timer);
      timer = setTimeout(measure, REST);
    };
    const body = element("div", { class: "fnd-exit" }, textsOf(told, choices, changed), filesOf(board.id, told, choices, say),
      linkOf(board.id, told, choices, say), status);
    measure();
    await F.dialog("Hand over “" + short(board.title, 80) + "”", body);
    clearTimeout(timer);
  }

  /** Open a bundle from this computer: it becomes a board of its own. */
  function openBundle() {
    const picker = element("input", { type: "file", accept: ".zip,application/zip" });
    picker.addEventListener("change", async () => {
      if (!picker.files.length) return;
      F.say("action", "Opening " + picker.files[0].name + " …");
      try {
        const response = await fetch(local("/findings/api/boards/from-bundle"), { method: "POST", headers: { "Content-Type": "application/zip" }, body: picker.files[0] });
        if (response.status === 413) throw new Error("This file is larger than bundles that can be opened here (48 MB).");
        if (!response.ok) throw new Error("The server answered " + response.status + ".");
        const answer = await response.json();
        if (answer.refused) throw new Error(answer.refused);
        window.location.assign(local("/findings?board=" + answer.board.id));
      } catch (error) { F.say("action", error.message); }
    });
    picker.click();
  }

  register("attune_findings", { handOver, openBundle });
})();
