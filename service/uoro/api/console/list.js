// All streams, a page at a time: one request for a page, whatever is on it.

import { Problem, call } from "./api.js";
import { sparkline } from "./charts.js";
import { showCreation } from "./create.js";
import { h, note, say } from "./dom.js";
import { count, forecast, interval, number, percent, rate, ratio, value } from "./format.js";

const PAGE = 50;
const EVERY_MS = 2000;
const ALARM = 0.99;
const COLUMNS = ["Stream", "State", "Observations", "per s", "Skill", "Anomaly", "Newest", "Next", "Trend"];

export function showList(main) {
  const cursors = [""]; // of the pages up to this one
  const rows = new Map();
  let filter = { prefix: "", label: "" };
  let timer = null;
  let asked = 0;
  let isLeft = false;

  const prefix = h("input", { id: "prefix", type: "search", placeholder: "id starts with…", "aria-label": "Ids that start with", spellcheck: "false" });
  const label = h("input", { type: "search", placeholder: "label key:value", "aria-label": "Label, key:value", spellcheck: "false" });
  const total = h("span", { class: "muted", id: "total", role: "status" });
  const back = h("button", { type: "button", onclick: () => { cursors.pop(); refresh(); } }, "← Previous");
  const forth = h("button", { type: "button", onclick: () => { cursors.push(forth.dataset.cursor); refresh(); } }, "Next →");
  const body = h("tbody");
  const table = h("table", { class: "streams" },
    h("caption", { class: "hidden" }, "Streams"),
    h("thead", {}, h("tr", {}, COLUMNS.map((name, i) => h("th", { scope: "col", class: i > 1 && i < 8 ? "number" : null }, name)))),
    body);
  const empty = h("div", { class: "empty", hidden: true });
  const pager = h("nav", { class: "pager", "aria-label": "Pages" }, back, forth);
  main.append(
    h("div", { class: "tools" },
      h("h1", {}, "Streams"), total, h("span", { class: "space" }), prefix, label,
      h("button", { type: "button", class: "primary", id: "new", onclick: showCreation }, "New stream")),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Streams" }, table), empty, pager);

  for (const input of [prefix, label]) {
    input.addEventListener("input", () => {
      filter = { prefix: prefix.value.trim(), label: label.value.trim() };
      cursors.length = 1;
      clearTimeout(timer);
      timer = setTimeout(refresh, 200);
    });
  }

  async function refresh() {
    clearTimeout(timer);
    const turn = ++asked;
    try {
      if (!document.hidden || !rows.size) {
        const page = await call("GET", `/v1/streams?${query()}`);
        if (turn !== asked || isLeft) return;
        show(page);
      }
    } catch (error) {
      if (isLeft) return;
      if (!(error instanceof Problem)) throw error;
      if (error.status === 422) say(total, error.message);
      else if (error.status === 401) say(total, "a key is needed");
      else say(total, `${error.message}; trying again…`);
    }
    if (turn === asked && !isLeft) timer = setTimeout(refresh, EVERY_MS);
  }

  function query() {
    const parameters = new URLSearchParams({ limit: PAGE, glance: "true" });
    if (cursors.at(-1)) parameters.set("cursor", cursors.at(-1));
    if (filter.prefix) parameters.set("prefix", filter.prefix);
    if (filter.label.includes(":")) parameters.set("label", filter.label);
    return parameters;
  }

  function show({ streams, next_cursor: next, total: num }) {
    const ids = new Set(streams.map((stream) => stream.id));
    for (const [id, row] of rows) if (!ids.has(id)) { row.element.remove(); rows.delete(id); }
    streams.forEach((stream, i) => {
      if (!rows.has(stream.id)) rows.set(stream.id, makeRow(stream.id));
      const row = rows.get(stream.id);
      row.update(stream);
      if (body.children[i] !== row.element) body.insertBefore(row.element, body.children[i] ?? null);
    });
    const first = (cursors.length - 1) * PAGE + 1;
    const isFiltered = filter.label.includes(":");
    say(total, streams.length === 0 ? "" : isFiltered ? `${count(first)}–${count(first + streams.length - 1)} with this label`
      : `${count(first)}–${count(first + streams.length - 1)} of ${count(num)}`);
    back.disabled = cursors.length === 1;
    forth.disabled = next === null;
    forth.dataset.cursor = next ?? "";
    pager.hidden = back.disabled && forth.disabled;
    table.parentElement.hidden = streams.length === 0;
    showEmpty(streams.length === 0, filter.prefix || isFiltered);
  }

  function showEmpty(isEmpty, isFiltered) {
    empty.hidden = !isEmpty;
    if (!isEmpty || empty.dataset.kind === String(Boolean(isFiltered))) return;
    empty.dataset.kind = String(Boolean(isFiltered));
    empty.replaceChildren(...(isFiltered ? [h("h2", {}, "No stream matches"), h("p", {}, "Clear the fields above to see all.")] : welcome()));
  }

  refresh();
  return () => { isLeft = true; clearTimeout(timer); };
}

function welcome() {
  const command = `curl -s ${location.origin}/v1/streams/taxi/observations -H 'content-type: application/json' -d '{"x": {"value": 10.2}}'`;
  return [
    h("h2", {}, "No streams yet"),
    h("p", {}, "Post the first observation, and a stream is there that learns from it and all that follow:"),
    h("pre", { tabindex: 0 }, h("code", {}, command)),
    h("button", {
      type: "button", class: "quiet",
      onclick: () => navigator.clipboard.writeText(command).then(() => note("Copied."), () => note("The browser did not allow it.", "error")),
    }, "Copy"),
    h("p", {}, "Or ", h("button", { type: "button", class: "primary", onclick: showCreation }, "paste numbers or a CSV"), " here."),
  ];
}

function makeRow(id) {
  const link = h("a", { href: `#/streams/${encodeURIComponent(id)}` }, id);
  const labels = h("span", { class: "labels" });
  const state = h("span", { class: "state" });
  const cell = () => h("td", { class: "number" });
  const [observations, pace, skill, anomaly, newest, next] = [cell(), cell(), cell(), cell(), cell(), cell()];
  const spark = sparkline();
  const element = h("tr", {}, h("th", { scope: "row" }, link, labels), h("td", {}, state),
    observations, pace, skill, anomaly, newest, next, h("td", {}, spark.element));
  let before = null;
  let drawn = null;
  return {
    element,
    update(stream) {
      const now = performance.now();
      const glance = stream.glance ?? { x: {}, trend: [], predicted: [], next: null, skill: null, anomaly: null };
      const pairs = Object.entries(stream.labels).map(([name, text]) => `${name}:${text}`);
      if (labels.childElementCount !== pairs.length) labels.replaceChildren(...pairs.map((text) => h("span", {}, text)));
      say(state, stream.state);
      state.className = `state ${stream.state}`;
      say(observations, count(stream.last_seq));
      say(pace, rate(before === null ? null : Math.max(0, (stream.last_seq - before.seq) / ((now - before.now) / 1000))));
      before = { seq: stream.last_seq, now };
      say(skill, ratio(glance.skill));
      skill.classList.toggle("good", glance.skill > 0.05);
      skill.classList.toggle("poor", glance.skill < -0.05);
      say(anomaly, percent(glance.anomaly));
      anomaly.classList.toggle("alarm", glance.anomaly >= ALARM);
      const field = Object.keys(stream.spec.fields ?? {}).find((name) => name in glance.x);
      say(newest, field === undefined ? "–" : value(glance.x[field]));
      say(next, forecast(glance.next?.[field]));
      next.title = interval(glance.next?.[field]);
      if (drawn !== stream.last_seq) spark.update(glance.trend, glance.predicted);
      drawn = stream.last_seq;
    },
  };
}
