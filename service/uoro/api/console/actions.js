// What can be done to a stream from its page. Each says how it went; the page refreshes itself.

import { Problem, call, streamPath } from "./api.js";
import { ask, h, note } from "./dom.js";
import { count } from "./format.js";

const ID = "[A-Za-z0-9][A-Za-z0-9._\\-:\\/]{0,199}";
const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}";

async function attempt(action, done) {
  try {
    const result = await action();
    if (done) note(done);
    return result ?? true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    note(error.message, "error");
    return null;
  }
}

export function actions(id, refresh) {
  const path = streamPath(id);
  const button = (text, act, kind = "") => h("button", { type: "button", class: kind, onclick: act }, text);

  const freeze = button("Freeze", async () => {
    const verb = freeze.textContent === "Freeze" ? "freeze" : "unfreeze";
    await attempt(() => call("POST", `${path}/${verb}`), verb === "freeze" ? "Frozen: it predicts and does not learn." : "It learns again.");
    refresh();
  });

  async function clone() {
    const values = await ask("Clone", "A second stream that starts from this one's model.", [{ name: "to", label: "Its id", value: `${id}-copy`, pattern: ID }], "Clone");
    if (values && await attempt(() => call("POST", `${path}/clone`, { body: { to: values.to } }), "Cloned.")) location.hash = `#/streams/${encodeURIComponent(values.to)}`;
  }

  async function download() {
    const response = await attempt(() => call("GET", `${path}/export`, { raw: true }));
    if (!response) return;
    const url = URL.createObjectURL(await response.blob());
    h("a", { href: url, download: `${id.replace(/[^A-Za-z0-9._-]/g, "_")}.safetensors` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  async function forget() {
    const values = await ask("Delete this stream?", "Its model, its log and its snapshots are gone for good.", [{ name: "id", label: `Type ${id} to confirm`, match: id }], "Delete", "danger");
    if (values && await attempt(() => call("DELETE", path), "Deleted.")) location.hash = "#/";
  }

  return {
    element: h("div", { class: "actions" }, freeze, button("Clone…", clone), button("Export", download), button("Delete…", forget, "danger")),
    show(state) { freeze.textContent = state === "frozen" ? "Unfreeze" : "Freeze"; },
  };
}

/** The named versions: take one, go back to one. */
export function snapshots(id, refresh) {
  const path = `${streamPath(id)}/snapshots`;
  const name = h("input", { name: "name", required: true, pattern: NAME, placeholder: "name", "aria-label": "Name of the snapshot", autocomplete: "off", spellcheck: "false" });
  const list = h("ul", { class: "snapshots" });
  const form = h("form", { class: "inline", onsubmit: take }, name, h("button", { type: "submit" }, "Take"));

  async function take(event) {
    event.preventDefault();
    if (await attempt(() => call("POST", path, { body: { name: name.value } }), "Kept.")) name.value = "";
    show();
  }

  async function restore(snapshot) {
    const values = await ask(`Go back to ${snapshot.name}?`, `The model and its place in the stream become those of observation ${count(snapshot.seq)}; what was learned since is gone.`, [], "Restore", "danger");
    if (values && await attempt(() => call("POST", `${path}/${encodeURIComponent(snapshot.name)}/restore`), `Back at observation ${count(snapshot.seq)}.`)) refresh(true);
  }

  async function show() {
    let found;
    try {
      found = (await call("GET", path)).snapshots;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return;
    }
    list.replaceChildren(...found.map((snapshot) => h("li", {},
      h("span", {}, snapshot.name, h("small", { class: "muted" }, ` at ${count(snapshot.seq)}, ${new Date(1000 * snapshot.created_at).toLocaleString()}`)),
      h("button", { type: "button", onclick: () => restore(snapshot) }, "Restore"))));
    if (!found.length) list.replaceChildren(h("li", { class: "muted" }, "none yet"));
  }

  show();
  return h("div", {}, form, list);
}
