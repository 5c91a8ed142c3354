// The error along the model, on a log axis, beside what was expected; where it went wrong is marked.

import { LineChart, ScatterChart } from "echarts/charts";
import { DataZoomComponent, GridComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

import { variable } from "./colours.js";
import { h } from "./dom.js";
import { brief } from "./format.js";
import { lineName } from "./model.js";
import { choose, on, state } from "./state.js";
import { showTip } from "./tip.js";
import { t } from "./words.js";

echarts.use([LineChart, ScatterChart, GridComponent, DataZoomComponent, CanvasRenderer]);

const MANY = 40; // lines; of more, each is fainter

export class Curve {
  constructor(report, model, view) {
    Object.assign(this, { report, model, view });
    this.measure = ["error_level", "relative_euclidean_distance"].find((name) => report.numbers(name));
    this.element = h("div", { className: "curve", role: "img", ariaLabel: t("curve.title") });
    this.place = null;
  }

  /** Once it is in the page. */
  start() {
    this.chart = echarts.init(this.element, null, { renderer: "canvas" });
    new ResizeObserver(() => this.chart.resize()).observe(this.element);
    on("line theme", () => this.draw());
    on("row", () => this.#pick());
    // While the map moves the curve waits: a hundred lines take longer than a frame.
    let waiting;
    on("span", (span, why) => {
      clearTimeout(waiting);
      if (why !== "curve") waiting = setTimeout(() => this.#zoom(), 80);
    });
    this.chart.on("datazoom", () => this.#zoomed());
    this.chart.getZr().on("mousemove", (event) => this.#tip(event));
    this.chart.getZr().on("globalout", () => showTip(null));
    this.chart.getZr().on("click", (event) => {
      const row = this.#rowAt(event);
      if (row !== null) choose("row", row, "curve");
    });
    this.draw();
  }

  draw() {
    this.chart.setOption(this.#option(), { notMerge: true });
    this.#zoom();
  }

  #option() {
    const soft = variable("--soft");
    const axis = { axisLine: { lineStyle: { color: variable("--line") } }, axisLabel: { color: soft } };
    return {
      animation: false,
      textStyle: { fontFamily: variable("--font") },
      grid: { left: 92, right: 16, top: 14, bottom: 22 },
      dataZoom: [
        { type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: "shift" },
      ],
      xAxis: {
        type: "category",
        data: this.model.names,
        ...axis,
        axisTick: { show: false },
        axisLabel: { show: false },
      },
      yAxis: {
        type: "log",
        ...axis,
        axisLabel: { color: soft, formatter: (value) => brief(value) },
        splitLine: { lineStyle: { color: variable("--grid") } },
      },
      series: [...this.#lines(), ...this.#points()],
    };
  }

  #lines() {
    const { lines } = this.model;
    const faint = lines.length > MANY ? 0.25 : 0.5;
    const all = lines.map((line, number) => this.#line(number, this.measure, {
      lineStyle: { color: variable("--soft"), width: 1, opacity: faint },
      z: 1,
    }));
    const bold = this.#line(state.line, this.measure, {
      lineStyle: { color: variable("--accent"), width: 2 },
      z: 4,
    });
    const expected = this.#line(state.line, "expected_error", {
      lineStyle: { color: variable("--text"), width: 1.5, type: [5, 4], opacity: 0.75 },
      z: 3,
    });
    return lines.length > 1 ? [...all, expected, bold] : [expected, bold];
  }

  #line(number, measure, look) {
    return {
      type: "line",
      data: this.#values(number, measure),
      showSymbol: false,
      connectNulls: true,
      silent: true,
      sampling: "max",
      ...look,
    };
  }

  #values(number, measure) {
    const { cells, names } = this.model;
    const values = this.report.numbers(measure);
    const found = new Array(names.length).fill(null);
    if (!values) return found;
    for (let column = 0; column < names.length; column++) {
      const row = cells[number * names.length + column];
      // A log axis has no zero: what is equal leaves a gap.
      if (row >= 0 && values[row] > 0 && values[row] < Infinity) found[column] = values[row];
    }
    return found;
  }

  #points() {
    const { report, model } = this;
    const at = (row) => [model.place[row], report.number(this.measure, row)];
    const failing = model.lines[state.line].rows.filter((row) => model.statuses[row] === 3);
    const shown = (rows) => rows.filter((row) => at(row)[1] > 0 && at(row)[1] < Infinity);
    const divergences = shown(report.said.divergences.filter((row) => model.lineOf[row] === state.line));
    return [
      { type: "scatter", data: shown(failing).map(at), symbolSize: 6, itemStyle: { color: variable("--fail") }, z: 5, silent: true },
      {
        type: "scatter",
        // Those of this line; those of others would lie upon each other.
        data: divergences.map(at),
        symbol: "pin",
        symbolSize: 28,
        z: 6,
        silent: true,
        itemStyle: { color: variable("--fail") },
        label: {
          show: true,
          formatter: ({ dataIndex }) => `${report.said.divergences.indexOf(divergences[dataIndex]) + 1}`,
          color: variable("--on-fail"),
          fontSize: 10,
        },
      },
      { id: "chosen", type: "scatter", data: [], symbolSize: 13, z: 7, silent: true, itemStyle: { color: "transparent", borderColor: variable("--text"), borderWidth: 2 } },
    ];
  }

  #pick() {
    const row = state.row;
    if (row !== null) choose("line", this.model.lineOf[row], "row");
    const value = row === null ? NaN : this.report.number(this.measure, row);
    const data = value > 0 && value < Infinity ? [[this.model.place[row], value]] : [];
    this.chart.setOption({ series: [{ id: "chosen", data }] });
  }

  #zoom() {
    const all = this.model.names.length;
    const [from, to] = state.span ?? [0, all];
    this.chart.dispatchAction({ type: "dataZoom", start: (from / all) * 100, end: (to / all) * 100 });
    this.#pick();
  }

  #zoomed() {
    const { start, end } = this.chart.getOption().dataZoom[0];
    const all = this.model.names.length;
    const whole = start <= 0.01 && end >= 99.99;
    const before = state.span ?? [0, all];
    const span = [(start / 100) * all, (end / 100) * all];
    if (Math.abs(before[0] - span[0]) + Math.abs(before[1] - span[1]) < 0.5) return;
    choose("span", whole ? null : span, "curve");
  }

  /** The row of the bold line under the pointer. */
  #rowAt(event) {
    const point = [event.offsetX, event.offsetY];
    if (!this.chart.containPixel("grid", point)) return null;
    const [column] = this.chart.convertFromPixel("grid", point);
    const { cells, names } = this.model;
    if (column < 0 || column >= names.length) return null;
    const row = cells[state.line * names.length + Math.round(column)];
    return row >= 0 ? row : null;
  }

  #tip(event) {
    const row = this.#rowAt(event);
    showTip(row === null ? null : this.view.tip(row), event.event);
  }

  /** Which line is bold, to be chosen. */
  picker() {
    const { lines } = this.model;
    const options = lines.map((line, number) =>
      h("option", { value: String(number) }, lineName(line, lines)),
    );
    const select = h("select", { onchange: () => choose("line", Number(select.value)) }, options);
    on("line", (line) => (select.value = String(line)));
    select.value = String(state.line);
    return h("label", {}, t("curve.line"), " ", select);
  }
}
