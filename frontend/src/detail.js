// One row in full.

import { divergenceOf } from "./answer.js";
import { closer } from "./closer.js";
import { commandOf } from "./command.js";
import { copy, fill, h, nextFrame } from "./dom.js";
import { number } from "./format.js";
import { address, choose, on, state } from "./state.js";
import { columnName, t } from "./words.js";

const NUMBERS = [
  "own_error", "error_level", "expected_error", "times_expected", "relative_euclidean_distance",
  "cosine_similarity", "max_absolute_error", "mean_absolute_error", "max_relative_error",
  "mismatch_ratio", "rmse", "kl_divergence", "nonfinite_golden", "nonfinite_my",
];
const SIDES = ["data_path", "dtype", "shape", "min_value", "max_value", "mean_value"];

export class Detail {
  constructor(report) {
    this.report = report;
    this.element = h("section", { className: "card detail", id: "detail", hidden: true, tabIndex: -1 });
    on("row", () => this.show());
    on("theme", () => this.closer?.paint());
    new ResizeObserver(nextFrame(() => this.closer?.paint())).observe(this.element);
  }

  show() {
    const { report } = this;
    const { row } = state;
    this.element.hidden = row === null;
    if (row === null) return;
    const detail = report.said.details[row];
    this.closer = detail ? closer(detail, report, row) : null;
    fill(
      this.element,
      this.#head(row),
      verdict(report, row),
      h("div", { className: "sides" }, this.#numbers(row), this.#sides(row)),
      this.closer?.element,
      !detail && report.said.ranked.includes(row) ? h("p", { className: "soft" }, t("closer.none")) : null,
    );
    this.closer?.paint();
  }

  #head(row) {
    const { report } = this;
    const button = (key, text) => {
      const one = h("button", { onclick: () => copy(text(), one, t("copied")) }, t(key));
      return one;
    };
    return h(
      "header",
      {},
      h("span", { className: `status ${report.text("status", row)}` }, t(`status.${report.text("status", row)}`)),
      h("h2", {}, report.name(row)),
      h("span", { className: "soft" }, [report.text("rank", row), report.text("job", row)].filter(Boolean).join(" · ")),
      h("span", { className: "space" }),
      h("button", { onclick: () => this.step(-1), title: t("detail.previous"), ariaLabel: t("detail.previous") }, "‹"),
      h("button", { onclick: () => this.step(1), title: t("detail.next"), ariaLabel: t("detail.next") }, "›"),
      button("detail.command", () => commandOf(report, row)),
      button("detail.link", () => location.href.split("#")[0] + address(report, row)),
      h("button", { onclick: () => choose("row", null), ariaLabel: t("detail.close"), title: t("detail.close") }, "✕"),
    );
  }

  /** To the next of the rows that do not pass, the worst first. */
  step(by) {
    const { ranked } = this.report.said;
    if (!ranked.length) return;
    const place = ranked.indexOf(state.row);
    choose("row", ranked[(place < 0 ? 0 : place + by + ranked.length) % ranked.length]);
  }

  #numbers(row) {
    const { report } = this;
    const shown = NUMBERS.map((name) => [name, report.number(name, row)]).filter(([, value]) => !Number.isNaN(value));
    return h(
      "table",
      { className: "numbers" },
      h("tbody", {}, shown.map(([name, value]) => h("tr", {}, h("th", { title: name }, columnName(name)), h("td", { className: "number" }, number(value))))),
    );
  }

  #sides(row) {
    const { report } = this;
    const cell = (side, name) => {
      const column = report.column(`${side}_${name}`);
      return column.isText ? report.text(column.name ?? `${side}_${name}`, row) : number(column.values[row]);
    };
    const rows = SIDES.filter((name) => cell("golden", name) || cell("my", name));
    return h(
      "table",
      { className: "two" },
      h("thead", {}, h("tr", {}, h("th", {}), h("th", {}, t("golden")), h("th", {}, t("my")))),
      h(
        "tbody",
        {},
        rows.map((name) =>
          h("tr", {}, h("th", {}, t(`detail.${name}`)), ["golden", "my"].map((side) => h("td", { className: name === "data_path" ? "mono path" : "" }, cell(side, name)))),
        ),
      ),
    );
  }
}

function verdict(report, row) {
  const follows = report.text("follows", row);
  const diagnosis = report.text("diagnosis", row);
  const divergence = divergenceOf(report, row, diagnosis);
  return h(
    "div",
    { className: "why" },
    h("p", {}, report.text("cmp_fail_reason", row) || t("detail.passes")),
    diagnosis ? h("p", { className: "diagnosis" }, diagnosis) : null,
    divergence ? h("p", { className: "soft" }, divergence) : null,
    follows ? h("p", { className: "soft" }, t("detail.follows", { row: follows })) : null,
    report.text("paired_by", row) ? h("p", { className: "soft" }, t("detail.paired", { by: report.text("paired_by", row) })) : null,
    report.weight(row) > 1 ? h("p", { className: "soft" }, t("detail.stands", { rows: report.weight(row) })) : null,
  );
}
