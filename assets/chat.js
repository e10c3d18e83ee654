// The conversation in the browser: a tree of turns, one path of which is shown, and a second one beside it to compare.
// Nothing of a turn is ever changed: an edit, another draw and another set-up each make a branch.
(function () {
  const { byId, download, element, none, on, read, register, save, set, turn } = window.dash_clientside.attune_kit;
  const attune = window.dash_clientside.attune;
  const EMPTY = { nodes: [], leaf: null, other: null, system: "" };
  const MARKS = 190_000; // brackets and commas of a large body that the server takes (pages/frame/security.py), about
  let talk = 0; // number of the conversation on screen: what was asked in another one is not put into it
  let branch = null; // { parent }: where the next turn begins, if not at the end of the path
  let editing = null; // id of the turn whose reply is being edited

  const chat = () => read("conversation", "data") || EMPTY;
  const at = (nodes, id) => nodes.find((n) => n.id === id);
  function path(nodes, leaf) {
    const found = [];
    for (let node = at(nodes, leaf); node; node = at(nodes, node.parent)) found.unshift(node);
    return found;
  }
  const children = (nodes, parent) => nodes.filter((n) => n.parent === parent);
  /** The end of the path that goes on from a turn by the newest branches. */
  function end(nodes, id) {
    const next = children(nodes, id);
    return next.length ? end(nodes, next[next.length - 1].id) : id;
  }
  /** Ids of tokens are one string in the store: it goes to the server whole, which counts commas. */
  const idsOf = (text) => (text ? text.split(" ").map(Number) : []);
  const leaves = (nodes) => nodes.filter((n) => !children(nodes, n.id).length);

  // ---- what a turn was steered with ----
  function how(steer) {
    const parts = ((steer && steer.regions) || []).filter((r) => r.strength || (r.factors || []).some(Boolean))
      .map((r) => "region " + r.region + " × " + r.strength);
    ((steer && steer.vectors) || []).forEach((v) => parts.push(v.name + " × " + v.strength));
    if (!parts.length) return "unsteered";
    const places = { all: "on all tokens", prompt: "on the prompt", generated: "on written tokens", thinking: "while thinking", answer: "in the answer" };
    if (places[steer.where]) parts.push(places[steer.where]);
    if (steer.after) parts.push("after " + steer.after + " tokens");
    if (steer.gate) parts.push("while the " + steer.gate.kind + " of region " + steer.gate.region + " is " + steer.gate.side + " " + steer.gate.value);
    return "steered: " + parts.join(", ");
  }

  // ---- drawing ----
  const button = (text, kind, id, more) => element("button", { class: "attune-small", type: "button", "data-chat": kind, "data-turn": id, ...more }, text);
  function node(nodes, n, number, same) {
    const brothers = children(nodes, n.parent), place = brothers.indexOf(n);
    const head = [element("strong", {}, "Turn " + number), " · " + how(n.steer) + (n.ids.length ? "" : ", typed")];
    if (n.kl !== undefined) head.push(" · KL " + n.kl.toFixed(3) + " nats a token");
    if (n.system !== undefined && n.system !== chat().system) head.push(" · ", element("span", { title: n.system || "none" }, "written under another instruction"));
    const ways = brothers.length < 2 ? [] : [
      button("‹", "way", brothers[(place + brothers.length - 1) % brothers.length].id, { "aria-label": "the branch before" }),
      " " + (place + 1) + " of " + brothers.length + " ",
      button("›", "way", brothers[(place + 1) % brothers.length].id, { "aria-label": "the next branch" }),
    ];
    const reply = editing === n.id
      ? [element("textarea", { class: "attune-prompt form-control", rows: 4, "aria-label": "reply of turn " + number, id: "chat-edit" }, n.reply),
        button("Keep as a branch", "keep", n.id), button("Leave it", "leave", n.id)]
      : [element("div", { class: "attune-said" }, n.reply)];
    const own = [button("Edit what you said", "user", n.id), button("Edit the reply", "reply", n.id), button("Write again", "again", n.id)];
    if (n.base) own.push(button("Take the unsteered reply", "base", n.id, { title: n.base }));
    return element("article", { class: "attune-turn" + (same ? " attune-same" : ""), "aria-label": "turn " + number },
      element("div", { class: "attune-turn-head attune-note" }, head, element("span", { class: "attune-ways" }, ways)),
      element("div", { class: "attune-asked" }, n.user), reply, same ? [] : element("div", { class: "attune-turn-actions" }, own));
  }
  function draw() {
    const host = byId("chat-list");
    if (!host) return none();
    const { nodes, leaf, other } = chat();
    const mine = path(nodes, leaf), beside = other === null || other === leaf ? [] : path(nodes, other);
    const column = (turns, against) => element("div", { class: "attune-chat-column" },
      turns.map((n, i) => node(nodes, n, i + 1, against.includes(n))));
    host.replaceChildren(...(mine.length ? [column(mine, [])] : [element("p", { class: "attune-note" }, "Nothing was said yet.")]),
      ...(beside.length ? [column(beside, mine)] : []));
    const options = leaves(nodes).filter((n) => n.id !== leaf).map((n) => ({
      value: n.id, label: "branch that ends in turn " + path(nodes, n.id).length + ": " + n.user.slice(0, 30) + " (" + how(n.steer) + ")",
    }));
    set("chat-other", { options, value: beside.length ? other : null });
    const parent = branch ? at(nodes, branch.parent) : null;
    const said = branch ? "The next turn begins a branch " + (parent ? "after turn " + path(nodes, parent.id).length : "at the start") + ". " : "";
    byId("chat-branch").replaceChildren(...(branch ? [said, button("Go on at the end instead", "end", "")] : []));
    return none();
  }
  function change(changes) {
    const next = { ...chat(), ...changes }, text = JSON.stringify(next);
    if (text.length > 1_000_000 && text.split(/[[{,]/).length > MARKS) {
      set("chat-unkept", { children: "Not in the address: the conversation is too long for it. Save it as a file." });
    }
    save("conversation", next);
    draw();
  }
  function add(fields, parent) {
    const { nodes } = chat();
    const id = nodes.reduce((most, n) => Math.max(most, n.id), -1) + 1;
    branch = null; editing = null;
    change({ nodes: [...nodes, { id, parent, ids: "", base: "", base_ids: "", steer: {}, ...fields }], leaf: id });
  }

  // ---- asking ----
  function ask(user, parent, seed) {
    const { nodes } = chat(), number = (id) => read(id, "value");
    const steer = (read("chat-steer", "value") && read("steer", "data")) || {};
    const turns = path(nodes, parent).map((n) => ({ user: n.user, reply: n.reply, ids: idsOf(n.ids), steer: n.steer }));
    const system = read("chat-system", "value") || "";
    const params = { turns: [...turns, { user, steer }], system, count: number("count"), temperature: number("temperature"),
      top_p: number("top-p"), seed: seed === undefined ? number("seed") : seed };
    const model = read("model", "data");
    if (model) params.model = model;
    ["chat-now", "chat-colours"].forEach((id) => set(id, { hidden: false }));
    save("chat-wanted", { params, parent, user, talk, turn: turn() });
  }
  function ended(line, asked) {
    const { params, parent, user } = asked;
    if (asked.talk !== talk || (parent !== null && !at(chat().nodes, parent))) return;
    const { count, temperature, top_p, seed } = params;
    set("chat-user", { value: "" });
    set("chat-room", { children: [...line.notes, line.reused ? line.reused + " of " + line.tokens + " tokens before the reply were not read again." : ""].filter(Boolean).join(" ") });
    save("conversation", { ...chat(), system: params.system });
    add({ user, reply: line.steered.text, ids: line.steered.ids.join(" "), base: line.base.text, base_ids: line.base.ids.join(" "), system: params.system,
      steer: params.turns[params.turns.length - 1].steer, how: { count, temperature, top_p, seed }, kl: line.steered.mean_kl }, parent);
  }
  const writer = attune.writer("chat-", ["base", "steered"], () => {}, ended);
  /** A question of the conversation on screen; one that was checked while another was begun is not asked. */
  const write = (asked, session) => (asked && asked.talk !== talk ? none() : writer.write(asked, session));
  /** Another conversation comes on screen: what is written for this one has no place there. */
  function leave() {
    talk += 1;
    branch = editing = null;
    return writer.stop(1);
  }
  function send() {
    const user = read("chat-user", "value") || (byId("chat-user") || {}).value || "";
    ask(user, branch ? branch.parent : chat().leaf);
  }
  on("click", "#chat-send", send);
  on("keydown", "#chat-user", (box, event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    set("chat-user", { value: box.value });
    send();
  });
  on("click", "#chat-new", () => { leave(); change({ ...EMPTY, system: chat().system }); });
  on("click", "#chat-save", () => {
    const body = { kind: "attune conversation", format: 1, model: read("model", "data") || null, conversation: chat() };
    download("conversation.attune.json", "application/json", JSON.stringify(body, null, 1));
  });
  const ACTIONS = {
    way: (n, nodes) => change({ leaf: end(nodes, n.id) }),
    user: (n) => { branch = { parent: n.parent }; set("chat-user", { value: n.user }); draw(); byId("chat-user").focus(); },
    reply: (n) => { editing = n.id; draw(); byId("chat-edit").focus(); },
    keep: (n) => add({ user: n.user, reply: byId("chat-edit").value, steer: n.steer, system: n.system }, n.parent),
    leave: () => { editing = null; draw(); },
    again: (n) => ask(n.user, n.parent, n.how && n.how.seed === read("seed", "value") ? n.how.seed + 1 : undefined),
    base: (n) => add({ user: n.user, reply: n.base, ids: n.base_ids, steer: {}, system: n.system }, n.parent),
    end: () => { branch = null; draw(); },
  };
  on("click", "[data-chat]", (pressed) => {
    const { nodes } = chat();
    ACTIONS[pressed.dataset.chat](at(nodes, Number(pressed.dataset.turn)), nodes);
  });
  function compare(other) {
    if (other !== chat().other) change({ other: other === undefined ? null : other });
    return none();
  }
  function opened(data) {
    const now = read("chat-system", "value");
    if (data && data.system && !now) set("chat-system", { value: data.system });
    return draw();
  }
  register("attune", { compareChat: compare, drawChat: opened, leaveChat: leave, paintChat: writer.paint, startChat: write, stopChat: writer.stop });
})();
