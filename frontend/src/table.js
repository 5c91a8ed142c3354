// All rows: sorted, filtered, and drawn only as far as they are in sight.

import { SlickGrid } from "slickgrid";

import { fill, h } from "./dom.js";
import { count, number } from "./format.js";
import { parse } from "./query.js";
import { choose, on, state } from "./state.js";
import { columnName, t } from "./words.js";

const SHOWN = [
  "job", "status", "token_id", "rank", "data_id", "times_expected", "relative_euclidean_distance",
  "cosine_similarity", "max_absolute_error", "worst_index", "reason", "diagnosis",
];
const HIDDEN = new Set(["stands_for", "step"]);
const WIDTHS = { data_id: 260, status: 76, token_id: 66, rank: 66, reason: 130, worst_index: 120, diagnosis: 320, relative_euclidean_distance: 130, max_absolute_error: 124 };
// What a table is of: the columns that are shown, and which of them sorts its rows into kinds, each
// with what it looks like.
const ROWS = {
  by: "status",
  looks: { fail: "fail", error: "error", skipped: "skipped", pass: "pass" },
  shown: SHOWN,
  widths: {},
  search: "table.search",
};

export class Table {
  constructor(report, nonce, kind = ROWS) {
    Object.assign(this, { report, nonce, kind });
    this.sorted = null; // { name, up }
    this.order = worstFirst(report); // of all rows, as sorted
    this.rows = this.order; // those of them that are found
    this.names = [...report.columns.keys()].filter((name) => !HIDDEN.has(name) && !report.column(name).isEmpty);
    this.shown = new Set(kind.shown.filter((name) => this.names.includes(name) && this.#tells(name)));
    this.box = h("div", { className: "grid" });
    this.found = h("span", { className: "soft", role: "status" });
    this.element = h("div", { className: "table" }, this.#bar(), this.box);
    on("query", () => this.filter());
    on("row", (row, why) => why !== "table" && this.#reveal(row));
  }

  /** A rank, or a job, tells nothing where there is one. */
  #tells(name) {
    return !["rank", "job", "token_id"].includes(name) || new Set(this.report.column(name).values).size > 1;
  }

  // -- the bar above

  #bar() {
    this.search = h("input", {
      type: "search",
      className: "query",
      value: state.query,
      ariaLabel: t(this.kind.search),
      placeholder: t(this.kind.search),
      oninput: () => choose("query", this.search.value.trim(), "search"),
    });
    this.search.setAttribute("list", "names");
    const names = h("datalist", { id: "names" }, this.names.map((name) => h("option", { value: `${name} > ` })));
    this.chips = h("span", { className: "chips" });
    this.columns = h("details", { className: "columns" });
    this.#label();
    return h("div", { className: "bar" }, this.search, names, this.chips, this.found, this.columns);
  }

  #label() {
    const { counts } = this.report.said;
    fill(this.chips, Object.keys(this.kind.looks).filter((one) => counts[one]).map((one) => this.#chip(one)));
    const boxes = this.names.map((name) =>
      h(
        "label",
        {},
        h("input", {
          type: "checkbox",
          checked: this.shown.has(name),
          onchange: (event) => {
            if (event.target.checked) this.shown.add(name);
            else this.shown.delete(name);
            this.grid.setColumns(this.#columns());
          },
        }),
        h("span", { title: name }, columnName(name)),
      ),
    );
    fill(this.columns, h("summary", {}, t("table.columns")), h("div", { className: "menu" }, boxes));
  }

  #chip(value) {
    const { by, looks } = this.kind;
    const query = by === "status" ? `status:${value}` : `${by}="${value}"`;
    const chip = h(
      "button",
      {
        className: `chip ${looks[value]}`,
        onclick: () => choose("query", state.query === query ? "" : query),
      },
      `${t(`${by}.${value}`)} ${count(this.report.said.counts[value])}`,
    );
    chip.dataset.query = query;
    return chip;
  }

  // -- the grid

  start() {
    this.grid = new SlickGrid(this.box, this, this.#columns(), {
      nonce: this.nonce,
      enableHtmlRendering: false,
      enableColumnReorder: false,
      enableTextSelectionOnCells: true,
      enableCellNavigation: true,
      rowHeight: 28,
      headerRowHeight: 30,
      forceFitColumns: false,
      syncColumnCellResize: true,
    });
    this.grid.onSort.subscribe((_, { sortCol, sortAsc }) => {
      this.sorted = { name: sortCol.id, up: sortAsc };
      this.sort();
    });
    this.grid.onActiveCellChanged.subscribe((_, { row }) => {
      if (row !== undefined && row < this.rows.length) choose("row", this.rows[row], "table");
    });
    new ResizeObserver(() => this.grid.resizeCanvas()).observe(this.box);
    this.filter();
    if (state.row !== null) this.#reveal(state.row);
  }

  // What SlickGrid asks of its data; an item that it takes for true is all that it needs.
  getLength() {
    return this.rows.length;
  }

  getItem(place) {
    return this.rows[place] + 1;
  }

  getItemMetadata(place) {
    const row = this.rows[place];
    return row === undefined ? null : { cssClasses: row === state.row ? "chosen" : "" };
  }

  #columns() {
    const names = [...this.names].sort((one, two) => this.#rank(one) - this.#rank(two));
    const columns = names.filter((name) => this.shown.has(name)).map((name) => this.#column(name));
    const free = this.box.clientWidth - 18 - columns.reduce((sum, one) => sum + one.width, 0);
    const widest = columns.find((one) => one.id === "data_id");
    if (widest) widest.width = Math.min(widest.width + Math.max(0, free), 900);
    return columns;
  }

  /** Where a column stands. */
  #rank(name) {
    const place = this.kind.shown.indexOf(name);
    return place < 0 ? this.kind.shown.length : place;
  }

  #column(name) {
    const column = this.report.column(name);
    return {
      id: name,
      name: columnName(name),
      field: name,
      toolTip: name,
      sortable: true,
      width: this.kind.widths[name] ?? WIDTHS[name] ?? (column.isText ? 140 : 104),
      minWidth: 40,
      cssClass: column.isText ? (name === "data_id" || name.includes("path") ? "mono" : "") : "number",
      headerCssClass: column.isText ? "" : "number",
      formatter: (place) => this.#cell(column, this.rows[place]),
    };
  }

  #cell(column, row) {
    const { by, looks } = this.kind;
    if (column.name === by) {
      const value = column.text(row);
      return h("span", { className: `status ${looks[value]}` }, t(`${by}.${value}`));
    }
    const text = column.isText ? column.text(row) : number(column.values[row]);
    return h("span", { title: text.length > 12 ? text : "" }, text);
  }

  // -- which rows, in which order

  sort() {
    const { name, up } = this.sorted;
    const key = keys(this.report.column(name), this.report.rows);
    const order = Uint32Array.from({ length: this.report.rows }, (_, row) => row);
    // What is empty stands last, whichever way.
    order.sort((one, two) => {
      const [a, b] = [key[one], key[two]];
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b) || one - two;
      return (up ? a - b : b - a) || one - two;
    });
    this.order = order;
    this.filter();
  }

  filter() {
    const asked = parse(state.query, this.report);
    if (this.search.value.trim() !== state.query) this.search.value = state.query;
    this.search.classList.toggle("wrong", asked.wrong.length > 0);
    this.search.title = asked.wrong.length ? t("table.wrong", { parts: asked.wrong.join(" ") }) : t("table.help");
    this.rows = asked.isEmpty ? this.order : this.order.filter(asked.keeps);
    this.found.textContent = asked.isEmpty
      ? t("table.all", { rows: count(this.rows.length) })
      : t("table.found", { rows: count(this.rows.length), all: count(this.report.rows) });
    for (const chip of this.chips.children) {
      chip.ariaPressed = String(state.query === chip.dataset.query);
    }
    if (this.grid) this.#redraw();
  }

  #redraw() {
    this.grid.invalidateAllRows();
    this.grid.updateRowCount();
    this.grid.render();
  }

  #reveal(row) {
    if (!this.grid) return;
    const place = row === null ? -1 : this.rows.indexOf(row);
    if (place >= 0) this.grid.scrollRowIntoView(place, false);
    this.#redraw();
  }
}

/** Rows that do not pass, what matters most first, and then the others in their order. */
function worstFirst(report) {
  const { ranked } = report.said;
  const order = new Uint32Array(report.rows);
  const taken = new Uint8Array(report.rows);
  let place = 0;
  for (const row of ranked) {
    order[place++] = row;
    taken[row] = 1;
  }
  for (let row = 0; row < report.rows; row++) if (!taken[row]) order[place++] = row;
  return order;
}

/** Numbers that sort as the column does; nan where it is empty. */
function keys(column, rows) {
  if (!column.isText) return column.values;
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const order = column.texts.map((_, code) => code).slice(1);
  order.sort((one, two) => compare(column.texts[one], column.texts[two]));
  const ranks = new Float64Array(column.texts.length).fill(NaN);
  order.forEach((code, place) => (ranks[code] = place));
  return Float64Array.from({ length: rows }, (_, row) => ranks[column.values[row]]);
}
