// A question that waits longer than a moment says for what: another job has the model. Without a word, a page that was
// opened meanwhile is nothing but empty cards.
(function () {
  const { element, none, register } = window.dash_clientside.attune_kit;
  const PATIENCE = 1500; // ms
  const waits = new Map(); // by question: when it was asked
  const place = element("div", { class: "attune-waits", role: "status" });
  document.body.append(place);

  // What the frame asks at every pulse waits for nothing.
  const isPulse = ({ output }) => (output || "").includes("tray-open.");
  function asked(question) {
    if (!isPulse(question) && !waits.has(question)) waits.set(question, Date.now());
  }
  const answered = (question) => waits.delete(question);
  /** `busy`: what the model computes, in words; "" for nothing. Called at every pulse. */
  function say(busy) {
    if (!window.store.getState().isLoading) waits.clear(); // one that broke off is not answered
    const since = Math.min(...waits.values());
    const words = busy && Date.now() - since > PATIENCE ? "Waiting for the model: " + busy : "";
    if (place.textContent !== words) place.textContent = words;
    return none();
  }

  register("attune_waiting", { asked, answered, say });
})();
