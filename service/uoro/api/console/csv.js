// Pasted text → rows and fields. Pure: the same text gives the same table.

const TIME_NAME = /^(t|ts|time|timestamp|date|datetime)$/i;
const DATE = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;
const MISSING = new Set(["", "na", "n/a", "nan", "null", "none"]);
const MAX_FIELDS = 64;

/** Cells of CSV text; quotes may hold separators, quotes ("") and line ends. */
export function cells(text) {
  const separator = [",", ";", "\t"].map((s) => [text.split("\n", 1)[0].split(s).length, s]).sort((a, b) => b[0] - a[0])[0][1];
  const rows = [];
  let row = [];
  let cell = "";
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (isQuoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') { cell += '"'; i++; }
      else isQuoted = false;
    } else if (c === '"') isQuoted = true;
    else if (c === separator) { row.push(cell.trim()); cell = ""; }
    else if (c === "\n") {
      row.push(cell.trim());
      if (row.some((value) => value !== "")) rows.push(row);
      row = [];
      cell = "";
    } else if (c !== "\r") cell += c;
  }
  row.push(cell.trim());
  if (row.some((value) => value !== "")) rows.push(row);
  return rows;
}

const isMissing = (text) => MISSING.has(text.toLowerCase());
const isNumber = (text) => !isMissing(text) && Number.isFinite(Number(text));

/**
 * {fields, observations, note}: fields as a spec has them, observations as the API reads them. Throws Error with a
 * sentence for the user.
 */
export function read(text) {
  let rows = cells(text.replace(/^\uFEFF/, ""));
  if (!rows.length) throw new Error("there is nothing in it yet");
  if (rows.length === 1 && rows[0].length > 1 && rows[0].every(isNumber)) rows = rows[0].map((value) => [value]);
  const width = rows[0].length;
  const hasHeader = !rows[0].some((value) => isNumber(value) || DATE.test(value)) && rows.length > 1;
  const names = hasHeader ? rows[0].map((name, i) => name || `column ${i + 1}`) : defaultNames(rows[0]);
  const body = hasHeader ? rows.slice(1) : rows;
  if (new Set(names).size < names.length) throw new Error("two columns have the same name");
  const ragged = body.findIndex((row) => row.length !== width);
  if (ragged >= 0) throw new Error(`row ${ragged + 1} has ${body[ragged].length} columns and the first has ${width}`);
  const time = names.findIndex((name, i) => isTime(name, body.map((row) => row[i]), width));
  const fields = {};
  const columns = [];
  names.forEach((name, i) => {
    if (i === time) return;
    const given = body.map((row) => row[i]).filter((value) => !isMissing(value));
    if (!given.length) return;
    const isNumeric = given.every(isNumber);
    const size = Math.min(1024, Math.max(16, 2 ** Math.ceil(Math.log2(new Set(given).size + 1))));
    fields[name] = isNumeric ? { type: "number" } : { type: "category", size };
    columns.push({ name, i, isNumeric });
  });
  if (!columns.length) throw new Error("there is no column with values");
  if (columns.length > MAX_FIELDS) throw new Error(`a stream has at most ${MAX_FIELDS} fields; these are ${columns.length}`);
  const observations = body.map((row) => {
    const x = {};
    for (const { name, i, isNumeric } of columns) {
      if (!isMissing(row[i])) x[name] = isNumeric ? Number(row[i]) : row[i];
    }
    return time < 0 || isMissing(row[time]) ? { x } : { x, t: timestamp(row[time]) };
  });
  return { fields, observations, time: time < 0 ? null : names[time] };
}

function defaultNames(row) {
  if (row.length === 1) return ["value"];
  if (row.length === 2 && DATE.test(row[0])) return ["t", "value"];
  return row.map((_, i) => `column ${i + 1}`);
}

function isTime(name, values, width) {
  const given = values.filter((value) => !isMissing(value));
  return width > 1 && given.length > 0 && (given.every((v) => DATE.test(v)) || (TIME_NAME.test(name) && given.every(isNumber)));
}

function timestamp(text) {
  if (isNumber(text)) return Number(text);
  const full = text.length === 10 ? `${text}T00:00:00` : text.replace(" ", "T");
  return /T\d\d:\d\d($|Z|[+-])/.test(full) ? full.replace(/(T\d\d:\d\d)/, "$1:00") : full;
}
