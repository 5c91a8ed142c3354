// What is written into the search field: words, `metric > number`, `status:fail`, `in:module`.

const PART = /(-?)(?:(\w+)\s*(>=|<=|!=|>|<|=|:)\s*)?("(?:[^"\\]|\\.)*"|[^\s"]+)/gu;
// Where words are looked for; the last are of two runs side by side.
const SEARCHED = [
  "data_id", "reason", "cmp_fail_reason", "base_reason", "new_reason", "base_cmp_fail_reason",
  "new_cmp_fail_reason",
];
const COMPARED = {
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

/** `text` as one word of a query. */
export function quoted(text) {
  return /^[^\s":<>=!-][^\s":<>=!]*$/u.test(text) ? text : JSON.stringify(text);
}

/** The rows that `query` asks for: (row) => bool; `wrong` has the parts that say nothing. */
export function parse(query, report) {
  const tests = [];
  const wrong = [];
  for (const [part, minus, name, sign, given] of query.matchAll(PART)) {
    const value = given.startsWith('"') ? unquoted(given) : given;
    const test =
      (name && named(name, sign, value, report)) ||
      ((!name || sign === ":") && words(name ? part.slice(minus.length) : value, report));
    if (!test) wrong.push(part);
    else tests.push(minus ? (row) => !test(row) : test);
  }
  return { keeps: (row) => tests.every((test) => test(row)), wrong, isEmpty: !tests.length };
}

function unquoted(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.slice(1, -1);
  }
}

function named(name, sign, value, report) {
  if (name === "in") return among(report, "data_id", (text) => isBelow(text, value));
  const column = report.columns.get(name) ?? report.columns.get({ token: "token_id" }[name]);
  if (!column) return null;
  if (column.isText) {
    const low = value.toLowerCase();
    if (sign === ":") return among(report, column.name, (text) => text.toLowerCase().includes(low));
    if (sign === "=" || sign === "!=") {
      return among(report, column.name, (text) => (text === value) === (sign === "="));
    }
    return null;
  }
  const number = value === "" ? NaN : Number(value);
  if (Number.isNaN(number)) return null;
  const compare = COMPARED[sign === ":" ? "=" : sign];
  return (row) => compare(column.values[row], number);
}

/** Whether a name is that of a module, or of something in it. */
function isBelow(name, module) {
  return name === module || (name.startsWith(module) && "./".includes(name[module.length]));
}

function words(value, report) {
  const low = value.toLowerCase();
  const has = (text) => text.toLowerCase().includes(low);
  const tests = SEARCHED.map((name) => among(report, name, has));
  return (row) => tests.some((test) => test(row));
}

/** Each different text is looked at once. */
function among(report, name, fits) {
  const column = report.column(name);
  if (!column.values.length) return () => false;
  const kept = column.texts.map((text, code) => (code || name !== "data_id" ? fits(text) : false));
  return (row) => kept[column.values[row]];
}
