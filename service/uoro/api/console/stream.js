// One stream, live: what came against what had been said, and how well that goes.

import { Problem, call, follow, streamPath } from "./api.js";
import { actions, snapshots } from "./actions.js";
import { chart, line, marks } from "./charts.js";
import { h, say } from "./dom.js";
import { bytes, count, number, percent, rate, ratio, value } from "./format.js";
import { History } from "./history.js";
import { bars, norms, panel, tiles } from "./panels.js";

const RECENT = 64;
const EVERY_MS = 2000;
const DRAW_EVERY_MS = 80;
const ALARM = 0.99;
const HORIZONS = [0, 12, 24, 48, 96];
const TILES = [
  ["Observations", "how many it has seen"], ["per s", "how many come a second"], ["Newest", "the newest value"],
  ["Skill", "1 − loss / loss of the naive forecast, over the recent window"], ["Skill, all", "the same since the first observation"],
  ["Coverage", "how often the 90 % interval held the value"], ["Anomaly", "of the newest observation; 100 % is like nothing seen before"],
  ["Memory", "length of its state"],
];

export function showStream(main, id) {
  const path = streamPath(id);
  const past = new History();
  let ahead = [];
  let info = null;
  let field = null;
  let plots = [];
  let isLeft = false;
  let timer = null;
  let drawing = null;
  let before = null;
  let latest = null;

  const state = h("span", { class: "state" });
  const live = h("span", { class: "live", role: "status" }, "connecting…");
  const labels = h("span", { class: "labels" });
  const acts = actions(id, poll);
  const figures = tiles(TILES);
  const fields = h("select", { "aria-label": "Field", hidden: true, onchange: () => { field = fields.value; build(); } });
  const horizon = h("select", { "aria-label": "Steps ahead", onchange: poll }, HORIZONS.map((n) => h("option", { value: n, selected: n === 24 }, n ? `${n} steps ahead` : "no steps ahead")));
  const shown = h("select", { "aria-label": "Observations shown", onchange: draw }, [64, 200, 500, 2000].map((n) => h("option", { value: n, selected: n === 200 }, `last ${count(n)}`)));
  const charts = h("div", { class: "charts" });
  const experts = bars("Weights of the experts");
  const classes = bars("Probabilities of what comes next", 10);
  const influence = norms();
  const next = panel("What comes next", "probabilities", classes.element);
  const body = h("div", { class: "stream", hidden: true }, figures.element,
    h("div", { class: "columns" },
      h("div", { class: "wide" }, h("div", { class: "tools small" }, fields, horizon, shown), charts),
      h("div", { class: "side" }, next,
        panel("Experts", "which forecasters carry the weight", experts.element),
        panel("Snapshots", null, snapshots(id, poll)),
        panel("Influence", "norms of what UORO carries forward", influence.element))));
  const empty = h("div", { class: "empty", hidden: true });
  main.append(
    h("div", { class: "tools" }, h("a", { href: "#/", class: "back", "aria-label": "All streams" }, "←"), h("h1", { class: "id" }, id), state, live, labels, h("span", { class: "space" }), acts.element),
    empty, body);

  const socket = follow(id, {
    onOpen: () => { say(live, "live"); live.classList.add("on"); reload(); },
    onLost: () => { say(live, "reconnecting…"); live.classList.remove("on"); },
    onResult: (result) => {
      past.add(result);
      latest = result;
      schedule();
    },
  });

  async function reload() {
    await quietly(async () => {
      past.merge((await call("GET", `${path}/results?limit=${RECENT}`)).results);
      schedule();
      await poll();
    });
  }

  async function poll(isChanged = false) {
    clearTimeout(timer);
    await quietly(async () => {
      if (document.hidden && info) return;
      const steps = Number(horizon.value);
      const [stream, metrics, prediction] = await Promise.all([
        describe(), call("GET", `${path}/metrics`), call("GET", `${path}/prediction?horizon=${steps || 1}`),
      ]);
      if (isLeft) return;
      ahead = steps ? prediction.predictions : [];
      if (stream.last_seq < past.newest || isChanged === true) {
        latest = null;
        past.merge((await call("GET", `${path}/results?limit=${RECENT}`)).results);
      }
      tell(stream, metrics, prediction);
    });
    if (!isLeft) { clearTimeout(timer); timer = setTimeout(poll, EVERY_MS); }
  }

  /** The stream with its glance, which knows the newest values of every kind of field. */
  async function describe() {
    const { streams: [found] } = await call("GET", `/v1/streams?${new URLSearchParams({ prefix: id, limit: 1, glance: "true" })}`);
    if (found?.id !== id) throw new Problem(404, { detail: "no such stream" });
    return found;
  }

  async function quietly(action) {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (isLeft) return;
      if (error.status === 404) explain("No such stream", "It may have been deleted, or the key may not see it.");
      else if (error.status === 401) explain("A key is needed", error.message);
      else if (!info) explain("Not now", error.message);
    }
  }

  function explain(title, text) {
    body.hidden = true;
    empty.hidden = false;
    empty.replaceChildren(h("h2", {}, title), h("p", {}, text), h("p", {}, h("a", { href: "#/" }, "All streams")));
  }

  function tell(stream, metrics, prediction) {
    const isFirst = info === null;
    info = stream;
    empty.hidden = true;
    body.hidden = false;
    say(state, stream.state);
    state.className = `state ${stream.state}`;
    acts.show(stream.state);
    labels.replaceChildren(...Object.entries(stream.labels).map(([name, text]) => h("span", {}, `${name}:${text}`)));
    const targets = Object.entries(stream.spec.fields ?? {}).filter(([, spec]) => spec.role !== "input");
    if (isFirst) {
      fields.replaceChildren(...targets.map(([name]) => h("option", { value: name }, name)));
      fields.hidden = targets.length < 2;
      field = targets[0]?.[0] ?? null;
      build();
    }
    const now = performance.now();
    figures.set("Observations", count(stream.last_seq));
    figures.set("per s", rate(before ? Math.max(0, (stream.last_seq - before.seq) / ((now - before.now) / 1000)) : null));
    before = { seq: stream.last_seq, now };
    figures.set("Skill", ratio(metrics.skill), metrics.skill > 0.05 ? "good" : metrics.skill < -0.05 ? "poor" : "");
    figures.set("Skill, all", ratio(metrics.total_skill));
    figures.set("Coverage", percent(metrics.coverage));
    figures.set("Memory", bytes(stream.bytes));
    showNewest(metrics.anomaly);
    experts.update(metrics.expert_weights[field] ?? {});
    influence.update(metrics.influence_norm);
    const said = prediction.prediction?.[field];
    next.hidden = !said?.probabilities;
    if (said?.probabilities) classes.update(said.probabilities, said.other);
    if (stream.last_seq === 0) explainEmpty();
    schedule();
  }

  function explainEmpty() {
    empty.hidden = false;
    const x = Object.fromEntries(Object.entries(info.spec.fields ?? { value: {} }).map(([name, spec]) => [name, spec.type === "category" ? "a" : 1.5]));
    const command = `curl -s ${location.origin}${path}/observations -H 'content-type: application/json' -d '${JSON.stringify({ x })}'`;
    empty.replaceChildren(h("h2", {}, "Nothing came yet"), h("p", {}, "The first prediction is there after the first observation:"), h("pre", { tabindex: 0 }, h("code", {}, command)));
  }

  function showNewest(anomaly) {
    const point = latest ?? past.points.at(-1);
    figures.set("Newest", value(latest?.x?.[field] ?? info.glance?.x[field] ?? point?.x?.[field]));
    const level = latest ? latest.anomaly : anomaly;
    figures.set("Anomaly", percent(level), level >= ALARM ? "alarm" : "");
  }

  /** The charts of the chosen field. */
  function build() {
    plots.forEach((plot) => plot.close());
    charts.replaceChildren();
    const isNumber = info.spec.fields[field]?.type !== "category";
    horizon.hidden = !isNumber;
    const box = (title, ...keys) => {
      const element = h("section", { class: "panel" }, h("h2", {}, title, h("span", { class: "keys" }, keys.map(([name, kind]) => h("span", { class: kind }, name)))));
      charts.append(element);
      return element;
    };
    let levels = [];
    const first = isNumber
      ? chart(box(field, ["came", "came"], ["said before", "said"], ["90 %", "band"], ["ahead", "ahead"], ["anomaly", "alarm"]), {
        label: "Values against predictions", height: 300, when: (seq) => past.timeOf(seq),
        series: [line("came", "came", { width: 1.4 }), line("said", "said"), line("lower", "edge", { width: 0 }), line("upper", "edge", { width: 0 }),
          line("ahead", "ahead", { dash: [5, 4] }), line("ahead lower", "edge", { width: 0 }), line("ahead upper", "edge", { width: 0 })],
        bands: [[4, 3], [7, 6]], hooks: { draw: [marks(() => levels, ALARM)] },
      })
      : chart(box(`${field}: probability given to what came`, ["probability", "said"], ["anomaly", "alarm"]), {
        label: "Probabilities given to what came", height: 300, when: (seq) => past.timeOf(seq), range: [0, 1.02],
        series: [line("probability", "said")], hooks: { draw: [marks(() => levels, ALARM)] },
      });
    const loss = chart(box("Loss", ["this stream", "said"], ["naive forecast", "naive"]), {
      label: "Loss against that of the naive forecast", height: 150, series: [line("loss", "said"), line("naive", "naive")],
      range: (_, low, high) => [0, (high ?? 1) * 1.1 || 1],
    });
    const skill = chart(box("Skill", ["over 64 observations", "good"]), {
      label: "Skill", height: 150, series: [line("skill", "good")], range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(0.2, (high ?? 0) * 1.15)],
    });
    plots = [first, loss, skill];
    plots.draw = () => {
      const num = Number(shown.value);
      const columns = isNumber ? past.ofNumber(field, ahead) : past.ofCategory();
      const start = Math.max(0, columns[0].length - num - (isNumber ? ahead.length : 0));
      const cut = columns.map((column) => column.slice(start));
      levels = past.anomalies(cut);
      first.set(cut);
      const newest = past.points.at(-1);
      first.describe(isNumber ? `Values against predictions up to observation ${past.newest}: newest ${number(newest?.x?.[field])}, predicted ${number(newest?.prediction?.[field]?.mean)}` : `Probabilities given to what came, up to observation ${past.newest}`);
      const all = past.losses().map((column) => column.slice(-num));
      loss.set([all[0], all[1], all[2]]);
      skill.set([all[0], all[3]]);
      charts.dataset.newest = past.newest;
      charts.dataset.shown = cut[0].length;
    };
    schedule();
  }

  function draw() {
    if (!plots.draw || isLeft) return;
    plots.draw();
    figures.set("Observations", count(Math.max(past.newest, info.last_seq)));
    showNewest(past.points.at(-1)?.anomaly);
  }

  function schedule() {
    drawing ??= setTimeout(() => { drawing = null; requestAnimationFrame(draw); }, DRAW_EVERY_MS);
  }

  poll();
  return () => {
    isLeft = true;
    clearTimeout(timer);
    clearTimeout(drawing);
    socket.close();
    plots.forEach((plot) => plot.close());
  };
}
