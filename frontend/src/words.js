// What the page says, in the language that is chosen.

import { state } from "./state.js";
import { en } from "./words/en.js";
import { zh } from "./words/zh.js";

const LANGUAGES = { en, zh };

/** The words of `key`, with `{name}` filled in. */
export function t(key, given = {}) {
  const said = LANGUAGES[state.language]?.[key] ?? en[key] ?? key;
  return said.replace(/\{(\w+)\}/g, (whole, name) => given[name] ?? whole);
}

/** What a column is called: its own name, where there is no other. */
export function columnName(name) {
  return LANGUAGES[state.language]?.[`column.${name}`] ?? en[`column.${name}`] ?? name;
}
