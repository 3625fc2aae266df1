// uPlot with the page's colours; a trend as a small SVG.

import { h, svg } from "./dom.js";
import { number } from "./format.js";

const charts = new Set();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Colours are read when drawing, so a change of theme needs a redraw and no more. */
export function redrawAll() {
  charts.forEach((plot) => plot.redraw(false, true));
}

const stroke = (name) => () => colour(name);

export const line = (label, name, more = {}) => ({
  label, stroke: stroke(name), width: 1.6, spanGaps: false, points: { show: false }, ...more,
});

const axis = (more = {}) => ({
  stroke: stroke("muted"), grid: { stroke: stroke("grid"), width: 1 }, ticks: { show: false },
  font: "11px system-ui, sans-serif", size: 56, values: (_, ticks) => ticks.map(number), ...more,
});

/**
 * A chart over `seq` that fills its box. `bands` pair indices of series: [upper, lower]; `when` words the time of a
 * seq. What was zoomed into (by dragging) stays while new data come, until a double click.
 */
export function chart(box, { series, bands = [], hooks = {}, range, label, height = 220, when = () => "" }) {
  const options = {
    width: 300, height, series: [{ label: "seq" }, ...series],
    bands: bands.map((pair) => ({ series: pair, fill: stroke("band") })),
    scales: { x: { time: false }, y: { range } },
    axes: [axis({ size: 28, space: 70, values: (_, ticks) => ticks.map((t) => (Number.isInteger(t) ? t.toLocaleString("en") : "")) }), axis()],
    legend: { show: false }, cursor: { y: false, points: { size: 6 }, drag: { x: true, y: false } },
    hooks: { ...hooks },
  };
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const frame = h("div", { class: "plot", role: "img", "aria-label": label });
  box.append(readout, frame);
  options.hooks.setCursor = [(plot) => {
    const { idx } = plot.cursor;
    if (idx === null || idx === undefined) { readout.textContent = ""; return; }
    const figures = plot.series.map((one, i) => {
      const at = plot.data[i][idx];
      return at !== null && at !== undefined ? `${one.label} ${i ? number(at) : at}` : "";
    });
    figures.splice(1, 0, when(plot.data[0][idx]));
    readout.textContent = figures.filter(Boolean).join("   ");
  }];
  let isZoomed = false;
  options.hooks.setSelect = [(plot) => { isZoomed = plot.select.width > 0; }];
  frame.addEventListener("dblclick", () => { isZoomed = false; });
  const plot = new uPlot(options, series.reduce((data) => [...data, []], [[]]), frame);
  const watch = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > 0 && width !== plot.width) plot.setSize({ width, height });
  });
  watch.observe(frame);
  charts.add(plot);
  return {
    set(data) {
      plot.setData(data, !isZoomed);
      if (isZoomed) plot.redraw();
    },
    describe: (text) => frame.setAttribute("aria-label", text),
    close: () => { watch.disconnect(); charts.delete(plot); plot.destroy(); },
  };
}

/** Draws a vertical mark at each index that `levels()` puts at or above the threshold. */
export function marks(levels, threshold) {
  return (plot) => {
    const { ctx, bbox, data } = plot;
    ctx.save();
    ctx.fillStyle = colour("alarm");
    levels().forEach((level, i) => {
      if (level === null || level < threshold || data[0][i] === undefined) return;
      const x = plot.valToPos(data[0][i], "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      ctx.globalAlpha = 0.12;
      ctx.fillRect(x - 1.5 * devicePixelRatio, bbox.top, 3 * devicePixelRatio, bbox.height);
      ctx.globalAlpha = 1;
      ctx.beginPath();
      ctx.arc(x, bbox.top + 5 * devicePixelRatio, 3 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
    });
    ctx.restore();
  };
}

const WIDTH = 120;
const HEIGHT = 26;

/** A trend: what came as a line, what had been said as a fainter one. `update` redraws in place. */
export function sparkline() {
  const said = svg("path", { class: "said" });
  const came = svg("path", { class: "came" });
  const element = svg("svg", {
    class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": "recent values",
  }, said, came);
  return {
    element,
    update(trend, predicted) {
      const known = [...trend, ...predicted].filter((v) => v !== null);
      const [low, high] = [Math.min(...known), Math.max(...known)];
      came.setAttribute("d", path(trend, low, high));
      said.setAttribute("d", path(predicted, low, high));
    },
  };
}

function path(values, low, high) {
  const span = high - low || 1;
  let pen = "M";
  return values.map((value, i) => {
    if (value === null) { pen = "M"; return ""; }
    const x = values.length > 1 ? (i / (values.length - 1)) * (WIDTH - 2) + 1 : WIDTH / 2;
    const y = high === low ? HEIGHT / 2 : HEIGHT - 3 - ((value - low) / span) * (HEIGHT - 6);
    const point = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}
