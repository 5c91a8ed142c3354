// The small sections at the end: ranks, names that have one side only, settings and versions.

import { h } from "./dom.js";
import { brief, count } from "./format.js";
import { choose } from "./state.js";
import { t } from "./words.js";

/** Which rank fails, and which first; null where there is one process. */
export function ranksOf(report, model) {
  const processes = new Map();
  for (const line of model.lines) {
    if (!processes.has(line.process)) processes.set(line.process, { line, rows: [] });
    processes.get(line.process).rows.push(...line.rows);
  }
  if (processes.size < 2) return null;
  const found = [...processes.values()].map((one) => summary(report, model, one));
  const heads = ["rank", "job", "dump", "rows", "failing", "first", "worst"];
  const shown = heads.filter((head) => found.some((one) => one[head] !== "" && one[head] !== null));
  return h(
    "section",
    { className: "card", id: "ranks" },
    h("h2", {}, t("ranks.title")),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, shown.map((head) => h("th", {}, t(`ranks.${head}`))))),
      h("tbody", {}, found.map((one) => h("tr", { className: one.failing ? "failing" : "" }, shown.map((head) => h("td", {}, cell(report, one, head)))))),
    ),
  );
}

function summary(report, model, { line, rows }) {
  const failing = rows.filter((row) => model.statuses[row] >= 2);
  const first = report.said.divergences.find((row) => model.lines[model.lineOf[row]].process === line.process);
  const distance = report.numbers("relative_euclidean_distance");
  const size = (row) => (distance && !Number.isNaN(distance[row]) ? distance[row] : -1);
  const worst = failing.reduce((one, two) => (one === null || size(two) > size(one) ? two : one), null);
  return {
    rank: line.rank,
    job: line.job,
    dump: line.dump,
    rows: rows.reduce((sum, row) => sum + report.weight(row), 0),
    failing: failing.reduce((sum, row) => sum + report.weight(row), 0),
    first: first ?? null,
    worst,
  };
}

function cell(report, one, head) {
  const value = one[head];
  if (head === "rows" || head === "failing") return count(value);
  if (head !== "first" && head !== "worst") return value;
  if (value === null) return "";
  const error = report.number("relative_euclidean_distance", value);
  const shown = head === "worst" && !Number.isNaN(error) ? ` (${brief(error)})` : "";
  return h("button", { className: "link", onclick: () => choose("row", value) }, `${report.name(value)}${shown}`);
}

/** Names that have one side only, in groups. */
export function unpairedOf(report) {
  const { groups } = report.said;
  if (!groups.length) return null;
  return h(
    "section",
    { className: "card", id: "unpaired" },
    h("h2", {}, t("unpaired.title")),
    h("ul", { className: "groups" }, groups.map((group) => h("li", {}, groupOf(group)))),
    groups.some((group) => group.there !== groups[0].there) ? h("p", { className: "soft" }, t("unpaired.help")) : null,
  );
}

function groupOf({ there, without, glob, count: rows }) {
  const key = `unpaired.${there}`;
  const word = glob.replace(/^\*|\*$/g, "").split("*").sort((one, two) => two.length - one.length)[0];
  const reason = without === "my" ? "MY_MISSING" : "GOLDEN_MISSING";
  return h(
    "span",
    {},
    `${t(key, { rows: count(rows) })} `,
    h("button", { className: "link mono", onclick: () => choose("query", `reason:${reason} data_id:${JSON.stringify(word)}`) }, glob),
  );
}

/** Everything that was in force. */
export function factsOf(report) {
  const { settings, versions, machine } = report.said;
  const lists = [
    ["facts.settings", settings],
    ["facts.versions", versions],
    ["facts.machine", machine],
  ].filter(([, values]) => Object.keys(values).length);
  return h(
    "section",
    { className: "card", id: "facts" },
    h(
      "details",
      {},
      h("summary", {}, h("h2", {}, t("facts.title"))),
      lists.map(([key, values]) => [h("h3", {}, t(key)), listOf(values)]),
    ),
  );
}

function listOf(values) {
  const shown = Object.entries(values).filter(([, value]) => value !== "" && value !== "null");
  return h("dl", { className: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
