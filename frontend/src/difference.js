// Two runs side by side: which rows broke, were mended, came, went or moved.

import { fill, h } from "./dom.js";
import { count, number } from "./format.js";
import { choose, on, state } from "./state.js";
import { Table } from "./table.js";
import { columnName, t } from "./words.js";

// Each change, and what it looks like.
const CHANGES = {
  broken: "fail", "new and not passing": "fail", gone: "fail", worse: "fail", grown: "error",
  changed: "error", fixed: "pass", new: "skipped", better: "pass",
};
const KIND = {
  by: "change",
  looks: CHANGES,
  shown: [
    "change", "job", "token_id", "rank", "data_id", "base_status", "new_status", "base_error_level",
    "new_error_level", "error_ratio", "base_reason", "new_reason",
  ],
  widths: { change: 170, new_reason: 150, base_reason: 150 },
  search: "diff.search",
};
const SIDES = ["base", "new"];

/** The sections, and their table, which is to be started. */
export function differenceOf(report, nonce) {
  const table = new Table(report, nonce, KIND);
  const row = h("section", { className: "card detail", id: "detail" });
  const show = () => {
    row.hidden = state.row === null;
    if (state.row !== null) fill(row, rowOf(report, state.row));
  };
  on("row", show);
  show();
  const rows = h("section", { className: "card", id: "rows" }, h("h2", {}, t("diff.rows")), table.element);
  return { sections: [answerOf(report), rows, row], table };
}

function answerOf(report) {
  const { said } = report;
  const [base, other] = said.tolerances ?? [];
  const remarks = [
    said.tolerances ? t(base === other ? "diff.judgedByAnother" : "diff.judged", { base, other }) : null,
    said.ambiguous ? t("diff.ambiguous", { rows: count(said.ambiguous) }) : null,
    said.rows < said.all_rows ? t("diff.held", { rows: count(said.all_rows), held: count(said.rows) }) : null,
  ].filter(Boolean);
  return h(
    "section",
    { className: "answer card", id: "answer" },
    h("div", { className: "verdict" }, h("h1", { className: said.regressed ? "fail" : "pass" }, sentence(said)), countsOf(said)),
    h("ul", { className: "remarks" }, remarks.map((one) => h("li", {}, one))),
    h("dl", { className: "compared" }, SIDES.map((side) => said[side] && h("div", {}, h("dt", {}, t(`diff.${side}`)), h("dd", {}, said[side])))),
  );
}

function sentence(said) {
  const bad = Object.keys(CHANGES).reduce((sum, one) => sum + (CHANGES[one] === "fail" ? said.counts[one] : 0), 0);
  const key = said.regressed ? "diff.regressed" : said.all_rows ? "diff.fine" : "diff.same";
  return t(key, { bad: count(bad), rows: count(said.compared) });
}

function countsOf(said) {
  const found = Object.entries(CHANGES).filter(([change]) => said.counts[change]);
  return h(
    "div",
    { className: "counts" },
    found.map(([change, looks]) =>
      h(
        "button",
        {
          className: `count ${looks}`,
          title: t(`meaning.${change}`),
          onclick: () => choose("query", `change="${change}"`),
        },
        h("b", {}, count(said.counts[change])),
        ` ${t(`change.${change}`)}`,
      ),
    ),
  );
}

/** What is known of a row on both sides. */
function rowOf(report, row) {
  const change = report.text("change", row);
  const told = ["status", "reason", "error_level", "relative_euclidean_distance", "cosine_similarity", "nonfinite", "cmp_fail_reason"];
  const cell = (name) => {
    const column = report.column(name);
    return column.isText ? report.text(name, row) : number(report.number(name, row));
  };
  return [
    h("header", {}, h("h2", {}, report.name(row)), h("span", { className: `status ${CHANGES[change]}` }, t(`change.${change}`)), h("span", { className: "soft" }, t(`meaning.${change}`)), h("span", { className: "space" }), h("button", { onclick: () => choose("row", null) }, t("detail.close"))),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", {}), SIDES.map((side) => h("th", {}, t(`diff.${side}`))))),
      h("tbody", {}, told.map((name) => h("tr", {}, h("th", {}, columnName(name)), SIDES.map((side) => h("td", {}, cell(`${side}_${name}`)))))),
    ),
  ];
}
