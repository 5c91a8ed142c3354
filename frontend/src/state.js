// What is chosen on the page; the address has it, so that a link shows the same.

const listeners = new Map();

export const state = { row: null, query: "", metric: "", line: 0, span: null, theme: "", language: "" };

/** Call `listener` whenever one of `names` changes. */
export function on(names, listener) {
  for (const name of names.split(" ")) {
    if (!listeners.has(name)) listeners.set(name, []);
    listeners.get(name).push(listener);
  }
}

/** Choose something; `why` tells listeners who did. */
export function choose(name, value, why = "") {
  if (state[name] === value) return;
  state[name] = value;
  for (const listener of listeners.get(name) ?? []) listener(value, why);
}

const KEPT = { q: "query", metric: "metric", theme: "theme", language: "language" };
const OF_ROW = ["job", "dump", "token_id", "data_id"];

/** The address that shows what is chosen now. */
export function address(report, row = state.row) {
  const said = new URLSearchParams();
  if (row !== null) {
    for (const name of OF_ROW) {
      const value = name === "token_id" ? report.token(row) : report.text(name, row);
      if (value !== null && value !== "") said.set(name === "token_id" ? "token" : name, value);
    }
  }
  for (const [short, name] of Object.entries(KEPT)) {
    if (state[name] && state[name] !== defaults[name]) said.set(short, state[name]);
  }
  const text = said.toString();
  return text ? `#${text}` : "#";
}

const defaults = {};

/** Take the address's choices, and keep it as these change. */
export function followAddress(report, byDefault) {
  Object.assign(defaults, byDefault);
  Object.assign(state, byDefault);
  const read = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    for (const [short, name] of Object.entries(KEPT)) {
      choose(name, said.get(short) ?? defaults[name], "address");
    }
    const row = rowIn(said, report);
    if (row !== null || !said.has("data_id")) choose("row", row, "address");
  };
  read();
  window.addEventListener("hashchange", read);
  on("row query metric theme language", (_, why) => {
    if (why !== "address") history.replaceState(null, "", address(report));
  });
}

function rowIn(said, report) {
  if (!said.has("data_id")) return null;
  const code = report.column("data_id").texts.indexOf(said.get("data_id"), 1);
  const codes = report.column("data_id").values;
  const token = said.has("token") ? Number(said.get("token")) : null;
  for (let row = 0; row < report.rows; row++) {
    if (codes[row] !== code || report.token(row) !== token) continue;
    const same = (name) => !said.has(name) || report.text(name, row) === said.get(name);
    if (same("dump") && same("job")) return row;
  }
  return null;
}
