// How the Findings page asks its server, and who asks: one window of one browser, so that each undoes its own changes.
(function () {
  const { local, register } = window.dash_clientside.attune_kit;
  /** Bytes that a browser lets go out while a page is left. */
  const LAST_WORDS = 60000;

  function ownName() {
    const made = window.crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
    try {
      const kept = sessionStorage.getItem("attune-author") || made;
      sessionStorage.setItem("attune-author", kept);
      return kept;
    } catch {
      return made; // no storage: undo reaches back to the opening of this page
    }
  }
  const author = ownName();

  /**
   * GET, or POST where there is a body; the answer as data. Throws an Error whose message is a sentence; of a refusal
   * with `refused` true and the `field` that it is about. `leaving`: the page may be gone before the answer comes.
   */
  async function ask(path, body, leaving = false) {
    const text = body === undefined ? undefined : JSON.stringify({ ...body, author });
    const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: text,
      keepalive: leaving && text !== undefined && text.length < LAST_WORDS };
    let response;
    try {
      response = await fetch(local("/findings/api" + path), body === undefined ? {} : post);
    } catch {
      throw new Error("Attune does not answer; it is tried again.");
    }
    if (!response.ok) throw new Error("The server answered " + response.status + ".");
    const answer = await response.json();
    if (answer.refused) throw Object.assign(new Error(answer.refused), { refused: true, field: answer.field });
    return answer;
  }

  register("attune_findings", { ask });
})();
