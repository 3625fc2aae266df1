// A stream from pasted numbers or a CSV: shown before it is made, posted in chunks, each safe to repeat.

import { Problem, call, streamPath } from "./api.js";
import { read } from "./csv.js";
import { h, note } from "./dom.js";
import { count } from "./format.js";

const CHUNK = 500;
const MAX_TRIES = 8;
const MAX_FILE_BYTES = 64 * 2 ** 20;
const ID = "[A-Za-z0-9][A-Za-z0-9._\\-:\\/]{0,199}";

export function showCreation() {
  let table = null;
  let stop = null;
  const id = h("input", { name: "id", required: true, pattern: ID, autocomplete: "off", spellcheck: "false", placeholder: "plant/3/load" });
  const labels = h("input", { name: "labels", autocomplete: "off", spellcheck: "false", placeholder: "site:north, unit:kW" });
  const text = h("textarea", { rows: 8, spellcheck: "false", placeholder: "time,value\n2026-01-31T12:00:00Z,10.2\n2026-01-31T12:05:00Z,10.9\n\nor only numbers, one a line" });
  const file = h("input", { type: "file", accept: ".csv,.tsv,.txt,text/csv,text/plain", "aria-label": "A CSV file" });
  const preview = h("p", { class: "preview", role: "status" });
  const progress = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Posted" });
  const create = h("button", { type: "submit", class: "primary" }, "Create");
  const drop = h("div", { class: "drop" }, h("label", {}, "Numbers or CSV: paste, drop or choose a file", text), file);
  const form = h("form", { method: "dialog" },
    h("h2", {}, "New stream"),
    h("label", {}, "Id", id, h("small", {}, "letters, digits, . _ - : and /")),
    h("label", {}, "Labels", labels, h("small", {}, "key:value, separated by commas; may be empty")),
    drop, preview, progress,
    h("div", { class: "buttons" }, h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"), create));
  const dialog = h("dialog", { class: "wide", "aria-label": "New stream" }, form);

  function look() {
    table = null;
    preview.classList.remove("bad");
    if (!text.value.trim()) { preview.textContent = ""; return; }
    try {
      table = read(text.value);
      const fields = Object.entries(table.fields).map(([name, { type }]) => `${name} (${type})`).join(", ");
      preview.textContent = `${count(table.observations.length)} observations of ${fields}${table.time ? `; time from ${table.time}` : ""}`;
    } catch (error) {
      preview.textContent = error.message;
      preview.classList.add("bad");
    }
  }

  async function take(chosen) {
    if (!chosen) return;
    if (chosen.size > MAX_FILE_BYTES) { note("A file may have 64 MiB here; `uoro replay` takes larger ones.", "error"); return; }
    text.value = await chosen.text();
    if (!id.value) id.value = chosen.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._:/-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 200);
    look();
  }

  text.addEventListener("input", look);
  file.addEventListener("change", () => take(file.files[0]));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files[0]); });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (stop) return;
    if (!table) { preview.textContent = preview.textContent || "Paste some numbers, or choose a file."; preview.classList.add("bad"); return; }
    stop = new AbortController();
    create.disabled = true;
    progress.hidden = false;
    preview.classList.remove("bad");
    try {
      await post(id.value, labelsOf(labels.value), table, stop.signal, (done) => {
        progress.value = done / table.observations.length;
        preview.textContent = `${count(done)} of ${count(table.observations.length)} learned`;
      });
      dialog.close();
      location.hash = `#/streams/${encodeURIComponent(id.value)}`;
    } catch (error) {
      if (error.name !== "AbortError") { preview.textContent = error.message; preview.classList.add("bad"); }
    }
    create.disabled = false;
    stop = null;
  });
  dialog.addEventListener("close", () => { stop?.abort(); dialog.remove(); });
  document.body.append(dialog);
  dialog.showModal();
  id.focus();
}

function labelsOf(text) {
  const labels = {};
  for (const pair of text.split(",").map((part) => part.trim()).filter(Boolean)) {
    const at = pair.indexOf(":");
    if (at < 1) throw new Error(`a label looks like key:value, and this does not: ${pair}`);
    labels[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return labels;
}

async function post(id, labels, { fields, observations }, signal, tell) {
  const made = await call("PUT", streamPath(id), { body: { spec: { fields }, labels }, signal, raw: true });
  if (made.status !== 201) throw new Error(`there is a stream ${id} already`);
  for (let start = 0; start < observations.length; start += CHUNK) {
    const lines = observations.slice(start, start + CHUNK).map((observation, i) => JSON.stringify({ ...observation, seq: start + i + 1 }));
    const reply = await patiently(() => call("POST", `${streamPath(id)}/observations`, { body: lines.join("\n"), type: "application/x-ndjson", signal }));
    if (reply.rejected) throw new Error(`row ${start + reply.errors[0].index + 1}: ${reply.errors[0].detail}`);
    tell(Math.min(start + CHUNK, observations.length));
  }
}

/** What was learned is not learned twice (each observation says its place), so a call may be repeated. */
async function patiently(attempt) {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const isPassing = error instanceof Problem && (error.status === 0 || error.status === 429 || error.status === 503);
      if (!isPassing || tries === MAX_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfterS ?? Math.min(2 ** tries / 4, 5))));
    }
  }
}
