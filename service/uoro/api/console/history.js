// What the page has seen of one stream, by seq. Pure but for its own arrays.

const MAX_POINTS = 2000;
const WINDOW = 64;

export class History {
  constructor() {
    this.points = [];
  }

  get newest() {
    return this.points.at(-1)?.seq ?? 0;
  }

  /** Take a result in. One that is older than what is here (a snapshot was restored) replaces what came after it. */
  add(result) {
    if (result.duplicate) return;
    const { points } = this;
    if (result.seq <= this.newest) points.length = this.#placeOf(result.seq);
    points.push(result);
    if (points.length > MAX_POINTS * 1.1) points.splice(0, points.length - MAX_POINTS);
  }

  /** Take in what was fetched: it is the truth about its places and about what lies beyond them. */
  merge(results) {
    const first = results[0]?.seq;
    if (first === undefined) { this.points.length = 0; return; }
    const kept = new Map(this.points.filter((p) => p.seq >= first).map((p) => [p.seq, p]));
    this.points.length = this.#placeOf(first);
    for (const result of results) {
      const old = kept.get(result.seq);
      // A live result knows the categories that came, which the service does not keep.
      this.points.push(old && old.loss === result.loss ? old : result);
    }
  }

  #placeOf(seq) {
    const place = this.points.findIndex((p) => p.seq >= seq);
    return place < 0 ? this.points.length : place;
  }

  /** When a place was, as the observation said; "" if it did not. */
  timeOf(seq) {
    const t = this.points.find((p) => p.seq === seq)?.t ?? null;
    return t === null ? "" : new Date(typeof t === "number" ? 1000 * t : t).toLocaleString();
  }

  /** Columns of the chart of a number field, with the steps ahead behind them; gaps in seq break the lines. */
  ofNumber(field, ahead) {
    const columns = [[], [], [], [], [], [], [], []];
    const put = (...row) => columns.forEach((column, i) => column.push(row[i] ?? null));
    let before = null;
    for (const { seq, x, prediction } of this.points) {
      if (before !== null && seq > before + 1) put(before + 1);
      const said = prediction?.[field];
      put(seq, x?.[field], said?.mean, said?.lower, said?.upper);
      before = seq;
    }
    const last = this.points.at(-1)?.x?.[field] ?? null;
    if (last !== null && ahead.length) for (const column of columns.slice(5)) column[column.length - 1] = last;
    ahead.forEach((said, i) => put(this.newest + i + 1, null, null, null, null, said[field]?.mean, said[field]?.lower, said[field]?.upper));
    return columns;
  }

  /** seq, the probability that had been given to what came. */
  ofCategory() {
    return [this.points.map((p) => p.seq), this.points.map((p) => (p.loss === null ? null : Math.exp(-p.loss)))];
  }

  /** seq, mean loss and mean baseline loss over a window, and the skill that they make. */
  losses() {
    const columns = [[], [], [], []];
    let [loss, baseline, num] = [0, 0, 0];
    const { points } = this;
    points.forEach((point, i) => {
      if (point.loss !== null) { loss += point.loss; baseline += point.baseline_loss; num += 1; }
      const gone = points[i - WINDOW];
      if (gone && gone.loss !== null) { loss -= gone.loss; baseline -= gone.baseline_loss; num -= 1; }
      columns[0].push(point.seq);
      columns[1].push(num ? loss / num : null);
      columns[2].push(num ? baseline / num : null);
      columns[3].push(num > 8 && baseline > 1e-12 ? Math.max(-1, 1 - loss / baseline) : null);
    });
    return columns;
  }

  /** Anomalies, aligned with the columns of `ofNumber`. */
  anomalies(columns) {
    const bySeq = new Map(this.points.map((p) => [p.seq, p.anomaly]));
    return columns[0].map((seq) => bySeq.get(seq) ?? null);
  }
}
