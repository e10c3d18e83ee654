// Artefacts as files: saved from the page that shows them, opened by the button or by dropping them on the page. A file
// goes up as it is, in one request without a copy in memory, since a fit may have gigabytes.
(function () {
  const { element, local, on, read, register, save, set, turn } = window.dash_clientside.attune_kit;
  const OVER = "attune-files-over";

  /** The body of an answer; throws the sentence of a refusal. */
  async function answerOf(response) {
    if (response.status === 413) throw new Error("This file is larger than any artefact.");
    if (!response.ok) throw new Error("The server answered " + response.status + ".");
    const answer = await response.json();
    if (answer.refused) throw new Error(answer.refused);
    return answer;
  }
  /** Ask for a file to be made, then fetch it as a download. */
  const ask = async (path, body) => answerOf(await fetch(local("/files/api/" + path), { method: "POST",
    headers: { "Content-Type": "application/json" }, body: JSON.stringify({ model: read("model", "data"), ...body }) }));
  async function fetchFile(body) {
    const made = await ask("save", body);
    const link = element("a", { href: local("/files/api/file/" + made.token + "?name=" + encodeURIComponent(made.name)), download: made.name });
    document.body.append(link);
    link.click();
    link.remove();
    const size = made.size < 1e5 ? Math.max(1, Math.round(made.size / 1e3)) + " kB" : (made.size / 1e6).toFixed(1) + " MB";
    return "Saved " + made.name + ", " + size + ".";
  }
  /** Send a file up; what became of it. */
  const openFile = async (file) => answerOf(await fetch(local("/files/api/open?model=" +
    encodeURIComponent(JSON.stringify(read("model", "data") || null))), { method: "POST",
    headers: { "Content-Type": "application/octet-stream" }, body: file }));

  // ---- what is said: below the buttons, over the page, so that nothing moves ----
  function say(control, sentences, refused) {
    const host = control.querySelector(".attune-files-answer");
    const close = element("button", { class: "btn-close", type: "button", "aria-label": "Close" });
    close.addEventListener("click", () => host.replaceChildren());
    const lines = [sentences].flat().map((s) => element("p", {}, s));
    host.replaceChildren(...(lines.length ? [element("div", { class: refused ? "attune-files-refused" : "" }, lines), close] : []));
  }
  async function busy(control, words, act) {
    const buttons = control.querySelectorAll("[data-files]");
    buttons.forEach((b) => { b.disabled = true; });
    say(control, words);
    try { say(control, await act()); } catch (error) { say(control, error.message, true); } finally {
      buttons.forEach((b) => { b.disabled = false; });
    }
  }

  /** Ask before something is done that leaves this machine or cannot be taken back; the button says what it does. */
  function confirmed(control, sentences, verb, act) {
    const yes = element("button", { class: "attune-button attune-primary", type: "button" }, verb);
    yes.addEventListener("click", act);
    say(control, [...sentences, yes]);
    yes.focus();
  }

  // ---- saving ----
  function subjectOf(control) {
    const subject = { artefact: control.dataset.artefact };
    Object.entries(JSON.parse(control.dataset.subject)).forEach(([name, [id, prop, place, number]]) => {
      const value = read(id, prop);
      subject[name] = place ? (value || [])[read(place, number) || 0] : value;
    });
    return subject;
  }
  on("click", "[data-files=save]", (button) => {
    const control = button.closest(".attune-files");
    busy(control, "Writing the file …", () => fetchFile(subjectOf(control)));
  });

  // ---- opening ----
  async function open(control, file) {
    const answer = await openFile(file);
    if (answer.setup) { // the set-up of a steered text: the Steering page has a place for it
      if (!document.getElementById("open-file")) throw new Error("This is a steering set-up. Open it on the Steering page.");
      const reader = new FileReader();
      reader.onload = () => set("open-file", { contents: reader.result });
      reader.readAsDataURL(file);
      return [];
    }
    return became(answer);
  }
  /** The lines on what became of a file, a pack or a repository; pages hear of each artefact. */
  function became(answer) {
    answer.artefacts.forEach((a) => save("files-opened", { ...a, turn: turn() }));
    const lines = [answer.sentence, ...answer.problems];
    if (answer.loadable) lines.push(loading(answer));
    const away = answer.artefacts.length === 1 && answer.artefacts[0].ours && answer.artefacts[0].page;
    if (away && !window.location.pathname.startsWith(local(away)))
      lines.push(element("span", {}, "It is shown on ", element("a", { href: local(away) }, "another page"), "."));
    return lines;
  }
  /** A pack of a model that is not in use: one press loads it, on the Model page. */
  function loading({ model, revision }) {
    const words = "Load " + model;
    if (!document.getElementById("load")) return element("a", { href: local("/model") }, words + " on the Model page");
    const button = element("button", { class: "attune-button", type: "button" }, words);
    button.addEventListener("click", () => {
      set("source", { value: model });
      set("revision", { value: revision });
      setTimeout(() => document.getElementById("load").click(), 100); // once the form has taken it in
      button.remove();
    });
    return button;
  }
  const opening = (control, file) => busy(control, "Opening " + file.name + " …", () => open(control, file));
  on("click", "[data-files=open]", (button) => {
    const field = element("input", { type: "file", accept: ".safetensors,.zip" });
    field.addEventListener("change", () => { if (field.files[0]) opening(button.closest(".attune-files"), field.files[0]); });
    field.click();
  });
  // ---- the shelf and the hub, on the Model page ----
  const control = () => document.querySelector(".attune-files");
  const changed = () => save("files-opened", { kind: "", turn: turn() });
  const repository = () => (read("hub-repository", "value") || "").trim();
  on("click", "[data-files=row]", ({ dataset: { artefact, name } }) =>
    busy(control(), "Writing the file …", () => fetchFile({ artefact, name })));
  on("click", "[data-files=authors]", () => // a fit as the checkpoint of the method's authors
    busy(control(), "Writing the file …", () => fetchFile({ artefact: "fit", name: read("region-fit", "value"), layout: "authors" })));
  on("click", "[data-files=delete]", ({ dataset: { artefact, name } }) => {
    const act = () => busy(control(), "Deleting …", async () => {
      const { sentence } = await ask("delete", { artefact, name });
      changed();
      return sentence;
    });
    confirmed(control(), ["Delete “" + name + "” from the shelf? This cannot be taken back."], "Delete", act);
  });
  on("click", "[data-files=push]", () => {
    const to = repository(), open = read("hub-public", "value") === true;
    const what = document.getElementById("shelf-of").textContent || "nothing";
    const act = () => busy(control(), "Pushing to " + to + " …", async () => {
      const { sentence, address } = await ask("push", { repository: to, public: open });
      return [sentence, element("a", { href: address, rel: "noopener", target: "_blank" }, address)];
    });
    confirmed(control(), ["Push " + what + " to the repository " + (to || "(no name yet)") + " on the hub? It is made " +
      (open ? "public" : "private") + " if it is not there."], "Push", act);
  });
  on("click", "[data-files=fetch]", () =>
    busy(control(), "Fetching the pack …", async () => became(await ask("fetch", { repository: repository() }))));

  // ---- drag and drop ----
  // A drop on another place for files (texts, a set-up) is that place's own.
  const ours = (event) => {
    const control = document.querySelector(".attune-files");
    const files = event.dataTransfer && Array.from(event.dataTransfer.types).includes("Files");
    const other = event.target.closest && event.target.closest(".dash-upload, .attune-upload, [data-upload], [id$=upload], [id$=open-file]");
    return control && files && !other ? control : null;
  };
  document.addEventListener("dragover", (event) => {
    const control = ours(event);
    document.querySelectorAll("." + OVER).forEach((c) => { if (c !== control) c.classList.remove(OVER); });
    if (!control) return;
    event.preventDefault();
    control.classList.add(OVER);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.querySelectorAll("." + OVER).forEach((c) => c.classList.remove(OVER));
  });
  document.addEventListener("drop", (event) => {
    const control = ours(event);
    if (!control) return;
    event.preventDefault();
    control.classList.remove(OVER);
    if (event.dataTransfer.files[0]) opening(control, event.dataTransfer.files[0]);
  });

  register("attune_files", { fetchFile });
})();
