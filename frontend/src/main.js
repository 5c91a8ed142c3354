// The page: the report is read, each section made of it, and what is chosen in one shows in all.

import "slickgrid/dist/styles/css/slick.grid.css";
import "./page.css";

import { answerOf } from "./answer.js";
import { gradient } from "./colours.js";
import { Curve } from "./curve.js";
import { readReport } from "./data.js";
import { Detail } from "./detail.js";
import { differenceOf } from "./difference.js";
import { fill, h } from "./dom.js";
import { brief, number } from "./format.js";
import { Heatmap } from "./heatmap.js";
import { metricsOf, scaleOf, weigher } from "./metrics.js";
import { arrange } from "./model.js";
import { factsOf, ranksOf, unpairedOf } from "./sections.js";
import { choose, followAddress, on, state } from "./state.js";
import { Table } from "./table.js";
import { Tree } from "./tree.js";
import { columnName, t } from "./words.js";

/** What the sections share: the metric that is shown, and how a row is told. */
class View {
  constructor(report, model) {
    Object.assign(this, { report, model });
    this.groups = groupsOf(model.names);
    on("metric", () => this.#measure());
    this.#measure();
  }

  #measure() {
    this.scale = scaleOf(this.report, state.metric);
    this.weigh = weigher(this.model, this.scale);
  }

  tip(row) {
    const { report } = this;
    const told = [state.metric, "times_expected", "error_level", "expected_error", "relative_euclidean_distance"];
    const values = [...new Set(told)].map((name) => [name, report.number(name, row)]).filter(([, value]) => !Number.isNaN(value));
    return [
      h("b", {}, report.name(row)),
      h("div", {}, h("span", { className: `status ${report.text("status", row)}` }, t(`status.${report.text("status", row)}`)), ` ${report.text("reason", row)}`),
      h("table", {}, values.map(([name, value]) => h("tr", {}, h("td", {}, columnName(name)), h("td", { className: "number" }, number(value))))),
      report.text("first_divergence", row) ? h("div", {}, report.text("first_divergence", row)) : null,
    ].filter(Boolean);
  }
}

/** Where a new layer begins: (column, its name); a name up to its first number is one. */
function groupsOf(names) {
  const found = [];
  let before = null;
  names.forEach((name, column) => {
    const group = /^.*?\d+/.exec(name)?.[0] ?? name.split(/[./]/)[0];
    if (group !== before) found.push([column, group]);
    before = group;
  });
  return found;
}

function header(report) {
  const themes = h("button", { className: "plain", onclick: () => choose("theme", state.theme === "dark" ? "light" : "dark") });
  const language = h("button", { className: "plain", onclick: () => choose("language", state.language === "zh" ? "en" : "zh") });
  const print = h("button", { className: "plain", onclick: () => window.print() });
  const label = () => {
    themes.textContent = state.theme === "dark" ? "☀" : "☾";
    themes.ariaLabel = themes.title = t("theme");
    language.textContent = state.language === "zh" ? "English" : "中文";
    print.textContent = t("print");
  };
  label();
  on("theme", label);
  return h("header", { className: "top" }, h("b", {}, "ait_cmp"), h("span", { className: "soft" }, t(isDifference(report) ? "diff.title" : "title")), h("span", { className: "space" }), isDifference(report) ? null : h("span", { className: "soft keys", title: t("keys.help") }, t("keys")), language, themes, print);
}

function mapSection(report, model, view) {
  const heatmap = new Heatmap(report, model, view);
  const curve = new Curve(report, model, view);
  const metrics = metricsOf(report);
  const select = h("select", { id: "metric", onchange: () => choose("metric", select.value) }, metrics.map((name) => h("option", { value: name }, columnName(name))));
  select.value = state.metric;
  const legend = h("span", { className: "legend" });
  const relabel = () => {
    select.value = state.metric;
    const { valueAt } = view.scale;
    fill(legend, ["pass", "fail"].map((status) => bar(status)), h("span", {}, `${brief(valueAt(0))} … ${brief(valueAt(1))}`));
  };
  const bar = (status) => {
    const one = h("span", { className: "ramp" });
    one.style.background = gradient(status === "fail" ? 3 : 1);
    return h("span", {}, t(`status.${status}`), " ", one);
  };
  relabel();
  on("metric theme", relabel);
  const reset = h("button", { onclick: () => choose("span", null) }, t("map.whole"));
  const showReset = () => (reset.hidden = !state.span);
  showReset();
  on("span", showReset);
  const element = h(
    "section",
    { className: "card maps", id: "map" },
    h("div", { className: "bar" }, h("h2", {}, t("map.title")), h("span", { className: "space" }), legend, reset, h("label", {}, t("map.metric"), " ", select)),
    heatmap.element,
    h("div", { className: "bar" }, h("h2", {}, t("curve.title")), h("span", { className: "space" }), h("span", { className: "key" }, keyOf("bold", t("curve.error")), keyOf("dashed", t("curve.expected")), model.lines.length > 1 ? keyOf("faint", t("curve.others")) : null, report.said.divergences.length ? keyOf("pin-key", t("curve.divergence")) : null), model.lines.length > 1 ? curve.picker() : null),
    curve.element,
    h("p", { className: "soft hint" }, t("map.hint")),
  );
  return { element, curve };
}

function keyOf(kind, text) {
  return h("span", {}, h("i", { className: kind }), text);
}

/** Whether the page is of two runs side by side. */
function isDifference(report) {
  return report.said.kind === "difference";
}

function buildDifference(root, report, nonce) {
  const { sections, table } = differenceOf(report, nonce);
  fill(root, header(report), h("main", {}, sections));
  table.start();
  return { table, detail: { step: () => {} } };
}

function build(root, report, model, nonce) {
  const view = new View(report, model);
  const tree = new Tree(report, model, view);
  const { element: map, curve } = mapSection(report, model, view);
  const table = new Table(report, nonce);
  const detail = new Detail(report);
  fill(
    root,
    header(report),
    h(
      "main",
      {},
      answerOf(report),
      h("div", { className: "upper" }, h("section", { className: "card", id: "tree" }, h("h2", {}, t("tree.title")), tree.element), map),
      detail.element,
      h("section", { className: "card", id: "rows" }, h("h2", {}, t("table.title")), table.element),
      ranksOf(report, model),
      unpairedOf(report),
      factsOf(report),
    ),
  );
  tree.start();
  curve.start();
  table.start();
  detail.show();
  return { table, detail };
}

function listenToKeys(parts) {
  window.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && !typing) choose("row", null);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      parts.table.search.focus();
    }
    if (event.key === "n") parts.detail.step(1);
    if (event.key === "p") parts.detail.step(-1);
  });
}

function dress() {
  document.documentElement.dataset.theme = state.theme;
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
}

/** Paper is white. */
function printInLight() {
  let before;
  window.addEventListener("beforeprint", () => {
    before = state.theme;
    choose("theme", "light", "address");
  });
  window.addEventListener("afterprint", () => choose("theme", before, "address"));
}

async function start() {
  const root = document.getElementById("page");
  const { nonce } = document.getElementById("data");
  const report = await readReport(document.getElementById("data").textContent);
  document.getElementById("data").textContent = "";
  const model = isDifference(report) ? null : arrange(report);
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const [first] = report.said.divergences;
  state.line = !model || first === undefined ? 0 : model.lineOf[first];
  followAddress(report, {
    metric: (model && metricsOf(report)[0]) ?? "",
    query: "",
    theme: dark ? "dark" : "light",
    language: report.said.language,
  });
  dress();
  on("theme", dress);
  on("language", () => location.reload()); // its address says which
  listenToKeys(model ? build(root, report, model, nonce) : buildDifference(root, report, nonce));
  printInLight();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start().catch((error) => {
  document.getElementById("page").textContent = `${error}`;
  throw error;
});
