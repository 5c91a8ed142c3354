// The map: a line a token, a column a name in the order of computation. Painted pixel by pixel, so
// that half a million cells scroll smoothly; where several share a pixel, the worst is seen.

import { painter, theme, variable } from "./colours.js";
import { fitted, h, nextFrame } from "./dom.js";
import { lineName } from "./model.js";
import { choose, on, state } from "./state.js";
import { showTip } from "./tip.js";
import { t } from "./words.js";

const LEFT = 92; // as the curve's, so that both have one axis
const RIGHT = 16;
const BOTTOM = 96;
const TOP = 6;
const NAMED = 18; // pixels of a column from which on it has its name below it

export class Heatmap {
  constructor(report, model, view) {
    Object.assign(this, { report, model, view });
    this.canvas = h("canvas", {
      className: "map",
      tabIndex: 0,
      role: "application",
      ariaLabel: t("map.help"),
    });
    this.element = h("div", { className: "map-box" }, this.canvas);
    const lines = model.lines.length;
    this.element.style.height = `${TOP + BOTTOM + Math.min(420, Math.max(90, lines * 22))}px`;
    this.paint = nextFrame(() => this.#paint());
    new ResizeObserver(this.paint).observe(this.element);
    on("metric", () => this.#weigh());
    on("metric span row theme", this.paint);
    this.#weigh();
    this.#listen();
  }

  get span() {
    return state.span ?? [0, this.model.names.length];
  }

  // -- from the screen to cells

  #cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - LEFT, event.clientY - box.top - TOP];
    const [from, to] = this.span;
    const { width, height } = this.inner;
    if (x < 0 || y < 0 || x >= width || y >= height) return null;
    const lines = this.model.lines.length;
    // The worst of the cells that share this pixel, as it is painted.
    const [first, last] = bin(Math.floor(x), width, from, to);
    const [top, bottom] = bin(Math.floor(y), height, 0, lines);
    const cell = this.#worst(first, last, top, bottom);
    return cell < 0 ? null : this.model.cells[cell];
  }

  /** The number of the worst of these cells; -1 where none has a row. */
  #worst(first, last, top, bottom) {
    const width = this.model.names.length;
    let worst = -1;
    let most = -1;
    for (let line = top; line < bottom; line++) {
      for (let cell = line * width + first; cell < line * width + last; cell++) {
        if (this.weights[cell] > most) [worst, most] = [cell, this.weights[cell]];
      }
    }
    return worst;
  }

  /** How bad each cell is: what is painted where several share a pixel. */
  #weigh() {
    const { weigh } = this.view;
    this.weights = Float32Array.from(this.model.cells, (row) => (row < 0 ? -1 : weigh(row)));
  }

  get inner() {
    return {
      width: Math.max(1, this.canvas.clientWidth - LEFT - RIGHT),
      height: Math.max(1, this.canvas.clientHeight - TOP - BOTTOM),
    };
  }

  // -- listening

  #listen() {
    const canvas = this.canvas;
    let drag = null;
    canvas.addEventListener("mousemove", (event) => {
      if (drag) {
        const per = (drag.span[1] - drag.span[0]) / this.inner.width;
        drag.moved ||= Math.abs(event.clientX - drag.x) > 3;
        if (drag.moved) this.#look(drag.span[0] - (event.clientX - drag.x) * per, drag.span[1] - drag.span[0]);
        return;
      }
      const row = this.#cellAt(event);
      canvas.style.cursor = row === null ? "default" : "pointer";
      showTip(row === null ? null : this.view.tip(row), event);
    });
    canvas.addEventListener("mouseleave", () => showTip(null));
    canvas.addEventListener("mousedown", (event) => {
      drag = { x: event.clientX, span: [...this.span], moved: false };
      window.addEventListener("mouseup", () => setTimeout(() => (drag = null)), { once: true });
    });
    canvas.addEventListener("click", (event) => {
      if (drag?.moved) return;
      const row = this.#cellAt(event);
      if (row !== null) choose("row", row, "map");
    });
    canvas.addEventListener("dblclick", () => choose("span", null));
    canvas.addEventListener("wheel", (event) => this.#zoom(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #zoom(event) {
    const [from, to] = this.span;
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!sideways && !event.ctrlKey && !event.metaKey && !event.shiftKey) return; // the page scrolls
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left - LEFT) / this.inner.width));
    if (sideways || event.shiftKey) {
      const by = ((event.deltaX || event.deltaY) / this.inner.width) * (to - from);
      this.#look(from + by, to - from);
      return;
    }
    const size = (to - from) * Math.exp(event.deltaY * 0.003);
    this.#look(from + share * (to - from - size), size);
  }

  /** Show so many columns from one on. */
  #look(from, size) {
    const all = this.model.names.length;
    const shown = Math.min(all, Math.max(Math.min(8, all), size));
    const start = Math.min(all - shown, Math.max(0, from));
    choose("span", shown >= all ? null : [start, start + shown]);
  }

  #key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const [from, to] = this.span;
    if (event.key === "+" || event.key === "-") {
      const size = (to - from) * (event.key === "+" ? 0.6 : 1.6);
      const middle = state.row === null ? (from + to) / 2 : this.model.place[state.row];
      this.#look(middle - size / 2, size);
    } else if (event.key === "0") choose("span", null);
    else if (steps[event.key]) this.#step(...steps[event.key]);
    else return;
    event.preventDefault();
  }

  /** To the next cell of a row in a direction. */
  #step(down, right) {
    const { cells, names, lines, place, lineOf } = this.model;
    let line = state.row === null ? 0 : lineOf[state.row];
    let column = state.row === null ? -1 : place[state.row];
    for (;;) {
      line += down;
      column += right;
      if (line < 0 || column < 0 || line >= lines.length || column >= names.length) return;
      const row = cells[line * names.length + column];
      if (row >= 0) {
        choose("row", row, "map");
        const [from, to] = this.span;
        if (column < from || column >= to) this.#look(column - (to - from) / 2, to - from);
        return;
      }
    }
  }

  // -- painting

  #paint() {
    if (!this.canvas.clientWidth) return;
    const { context, width, height, ratio } = fitted(this.canvas);
    context.clearRect(0, 0, width, height);
    const inner = this.inner;
    const [from, to] = this.span;
    const lines = this.model.lines.length;
    const cell = { width: inner.width / (to - from), height: inner.height / lines };
    this.#cells(context, inner, cell, ratio);
    this.#marks(context, inner, cell);
    this.#names(context, inner, cell);
    this.#lineNames(context, inner, cell);
    this.#chosen(context, inner, cell);
  }

  #cells(context, inner, cell, ratio) {
    const wide = Math.round(inner.width * ratio);
    const high = cell.height >= 1 ? this.model.lines.length : Math.round(inner.height * ratio);
    const image = context.createImageData(wide, high);
    const pixels = new Uint32Array(image.data.buffer);
    const paint = painter(theme());
    const { scale } = this.view;
    const { cells, statuses } = this.model;
    const [from, to] = this.span;
    const bins = Array.from({ length: wide }, (_, x) => bin(x, wide, from, to));
    for (let y = 0; y < high; y++) {
      const [top, bottom] = bin(y, high, 0, this.model.lines.length);
      let before = null;
      let colour = 0;
      for (let x = 0; x < wide; x++) {
        const [first, last] = bins[x];
        const key = first * 1e7 + last;
        if (key !== before) {
          before = key;
          const worst = this.#worst(first, last, top, bottom);
          const row = worst < 0 ? -1 : cells[worst];
          const [red, green, blue] = row < 0 ? paint(-1) : paint(statuses[row], scale.place(row));
          colour = (255 << 24) | (blue << 16) | (green << 8) | red;
        }
        pixels[y * wide + x] = colour;
      }
    }
    const canvas = new OffscreenCanvas(wide, high);
    canvas.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas, LEFT, TOP, inner.width, inner.height);
    this.#grid(context, inner, cell);
  }

  #grid(context, inner, cell) {
    context.strokeStyle = variable("--card");
    context.lineWidth = 1;
    context.beginPath();
    if (cell.height >= 8) {
      for (let line = 1; line < this.model.lines.length; line++) {
        const y = Math.round(TOP + line * cell.height) + 0.5;
        context.moveTo(LEFT, y);
        context.lineTo(LEFT + inner.width, y);
      }
    }
    if (cell.width >= 8) {
      for (let column = Math.ceil(this.span[0]); column < this.span[1]; column++) {
        const x = Math.round(LEFT + (column - this.span[0]) * cell.width) + 0.5;
        context.moveTo(x, TOP);
        context.lineTo(x, TOP + inner.height);
      }
    }
    context.stroke();
  }

  /** Failing cells have a mark of their own, so that colour alone does not tell: where there is
      room in the cell, else above its column. */
  #marks(context, inner, cell) {
    const { model } = this;
    context.fillStyle = variable("--mark");
    const [from, to] = this.span;
    const inCell = cell.width >= 9 && cell.height >= 9;
    const size = Math.min(3, cell.width / 6, cell.height / 6);
    for (let column = Math.floor(from); column < Math.min(to, model.names.length); column++) {
      const x = LEFT + (column + 0.5 - from) * cell.width;
      if (x < LEFT || x > LEFT + inner.width) continue;
      for (let line = 0; line < model.lines.length; line++) {
        const row = model.cells[line * model.names.length + column];
        if (row < 0 || model.statuses[row] < 2) continue;
        if (inCell) {
          context.beginPath();
          context.arc(x, TOP + (line + 0.5) * cell.height, Math.max(1.5, size), 0, 7);
          context.fill();
        } else {
          context.fillRect(x - 0.75, 0, 1.5, TOP - 1);
          break;
        }
      }
    }
  }

  /** Names below the columns, or of layers where these are narrow. */
  #names(context, inner, cell) {
    const [from, to] = this.span;
    const bottom = TOP + inner.height;
    context.fillStyle = variable("--soft");
    context.font = `11px ${variable("--mono")}`;
    context.textBaseline = "middle";
    const shown = cell.width >= NAMED ? null : this.view.groups;
    let free = LEFT;
    const write = (column, name) => {
      const x = LEFT + (column + (shown ? 0 : 0.5) - from) * cell.width;
      if (x < free - 0.5 || x > LEFT + inner.width - 4) return;
      free = x + NAMED;
      context.save();
      context.translate(x + (shown ? 5 : 0), bottom + 6);
      context.rotate(Math.PI / 4);
      context.fillText(tail(name, 19), 0, 0);
      context.restore();
      context.fillRect(x, bottom, 1, 4);
    };
    if (shown) shown.forEach(([column, name]) => write(column, name.split(/[./]/).slice(-2).join(".")));
    else {
      for (let column = Math.ceil(from); column < Math.min(to, this.model.names.length); column++) {
        write(column, this.model.names[column]);
      }
    }
  }

  #lineNames(context, inner, cell) {
    context.textAlign = "right";
    context.font = `11px ${variable("--font")}`;
    const every = Math.max(1, Math.ceil(14 / cell.height));
    this.model.lines.forEach((line, number) => {
      if (number % every) return;
      const name = tail(lineName(line, this.model.lines), 15);
      context.fillText(name, LEFT - 8, TOP + (number + 0.5) * cell.height);
    });
    context.textAlign = "left";
  }

  #chosen(context, inner, cell) {
    if (state.row === null) return;
    const { place, lineOf } = this.model;
    const x = LEFT + (place[state.row] - this.span[0]) * cell.width;
    const y = TOP + lineOf[state.row] * cell.height;
    if (x < LEFT - 1 || x > LEFT + inner.width) return;
    const [wide, high] = [Math.max(cell.width, 6), Math.max(cell.height, 6)];
    context.lineWidth = 2;
    context.strokeStyle = variable("--text");
    context.strokeRect(x - (wide - cell.width) / 2, y - (high - cell.height) / 2, wide, high);
  }
}

/** Which cells, of [from, to), share the `number`-th of `all` pixels. */
function bin(number, all, from, to) {
  const per = (to - from) / all;
  const first = Math.floor(from + number * per);
  return [first, Math.max(first + 1, Math.min(Math.ceil(to), Math.floor(from + (number + 1) * per)))];
}

/** The end of a name, which tells more than its beginning. */
function tail(name, most) {
  return name.length <= most ? name : `…${name.slice(1 - most)}`;
}
