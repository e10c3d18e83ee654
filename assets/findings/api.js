// How the Findings page asks its server, and who asks (assets/frame/pin.js).
(function () {
  const { local, register } = window.dash_clientside.attune_kit;
  /** Bytes that a browser lets go out while a page is left. */
  const LAST_WORDS = 60000;

  const { author } = window.dash_clientside.attune_pin;

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
