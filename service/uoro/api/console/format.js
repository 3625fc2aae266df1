// Numbers as people read them.

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => GROUPED.format(n);

/** Four significant digits, without noise. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(2);
  if (size >= 1000) return GROUPED.format(value);
  return String(Number(value.toPrecision(4)));
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(0)} %`);
export const ratio = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

export function rate(perSecond) {
  if (perSecond === null) return "–";
  return perSecond === 0 ? "0" : perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (n < 1024) return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} GiB`;
}

/** A field's forecast in a few characters. */
export function forecast(said) {
  if (!said) return "–";
  if (said.probabilities) {
    const [[word, p] = []] = Object.entries(said.probabilities).sort((a, b) => b[1] - a[1]);
    return word === undefined ? "–" : `${word} ${percent(p)}`;
  }
  return number(said.mean);
}

export const interval = (said) => (said && !said.probabilities ? `${number(said.lower)} … ${number(said.upper)}` : "");
export const value = (x) => (typeof x === "string" ? x : number(x));
