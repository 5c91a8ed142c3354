// What a closer look at a row found: the sizes of its errors, my against golden, the error as an
// image and along each dimension, the worst elements. Small canvases; nothing here is a control.

import { css, painter, variable } from "./colours.js";
import { fitted, h } from "./dom.js";
import { brief, count, percent } from "./format.js";
import { showTip } from "./tip.js";
import { t } from "./words.js";

const PAD = { left: 46, right: 10, top: 8, bottom: 30 };
const CODES = 253; // steps of the image between its least and its largest error
const DEPTH = 1e-3; // of the largest error: what is less is painted alike

/** The figures of a detail, to be painted once they are in the page. */
export function closer(detail, report, row) {
  const figures = [
    figure("closer.histogram", (canvas) => histogram(canvas, detail), "", [
      h("span", { className: "above" }, t("closer.above")),
      h("span", { className: "below" }, t("closer.below")),
    ]),
    figure("closer.scatter", (canvas) => scatter(canvas, detail), "square"),
    detail.image_size[0] * detail.image_size[1] > 1
      ? figure("closer.image", (canvas) => image(canvas, detail), "square", imageNote(detail))
      : null,
    ...detail.axes.map((axis, number) => (axis.size > 1 ? axisFigure(detail, axis, number) : null)),
  ].filter(Boolean);
  const element = h(
    "div",
    { className: "closer" },
    h("div", { className: "figures" }, figures.map((one) => one.element)),
    worst(detail, report, row),
    detail.read < detail.elements
      ? h("p", { className: "soft" }, t("closer.part", { share: percent(detail.read / detail.elements) }))
      : null,
  );
  return { element, paint: () => figures.forEach((one) => one.paint()) };
}

function figure(title, draw, kind = "", note = "") {
  const canvas = h("canvas", { className: kind, role: "img", ariaLabel: t(title) });
  const caption = h("figcaption", {}, h("b", {}, t(title)), note ? h("span", { className: "soft" }, note) : null);
  return { element: h("figure", {}, caption, canvas), paint: () => draw(canvas) };
}

// -- a frame with two axes

function frame(canvas) {
  const { context, width, height } = fitted(canvas);
  const inner = { width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
  context.clearRect(0, 0, width, height);
  context.font = `10.5px ${variable("--font")}`;
  context.fillStyle = variable("--soft");
  context.strokeStyle = variable("--line");
  context.strokeRect(PAD.left + 0.5, PAD.top + 0.5, inner.width, inner.height);
  return {
    context,
    ...inner,
    x: (share) => PAD.left + share * inner.width,
    y: (share) => PAD.top + (1 - share) * inner.height,
    below(share, text, align = "center") {
      context.fillStyle = variable("--soft");
      context.textAlign = align;
      context.textBaseline = "top";
      context.fillText(text, this.x(share), PAD.top + inner.height + 4);
    },
    beside(share, text) {
      context.fillStyle = variable("--soft");
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(text, PAD.left - 5, Math.min(Math.max(this.y(share), PAD.top + 5), PAD.top + inner.height - 4));
    },
    title(text) {
      context.fillStyle = variable("--soft");
      context.textAlign = "center";
      context.textBaseline = "bottom";
      context.fillText(text, this.x(0.5), PAD.top + inner.height + PAD.bottom - 1);
    },
  };
}

// -- sizes of errors: my above golden upwards, below it downwards, on two log axes

function histogram(canvas, detail) {
  const area = frame(canvas);
  const [above, below] = detail.histogram;
  if (!above.length) return;
  const most = Math.log10(1 + Math.max(...above, ...below));
  const high = (value) => (Math.log10(1 + value) / most) * 0.5;
  const wide = area.width / above.length;
  above.forEach((value, place) => {
    const x = PAD.left + place * wide;
    area.context.fillStyle = variable("--accent");
    area.context.fillRect(x, area.y(0.5 + high(value)), Math.max(1, wide - 0.5), high(value) * area.height);
    area.context.fillStyle = variable("--below");
    area.context.fillRect(x, area.y(0.5), Math.max(1, wide - 0.5), high(below[place]) * area.height);
  });
  area.context.strokeStyle = variable("--line");
  area.context.strokeRect(PAD.left, area.y(0.5), area.width, 0);
  const size = (place) => {
    const bin = detail.first + place; // two for each power of two
    return Math.min(2 ** Math.floor(bin / 2) * (bin % 2 ? 1.5 : 1), Number.MAX_VALUE);
  };
  const [from, to] = [Math.log10(size(0)), Math.log10(size(above.length))];
  const step = Math.max(1, Math.ceil((to - from) / 6));
  for (let power = Math.ceil(from); power <= to; power += step) {
    area.below((power - from) / (to - from), `1e${power}`);
  }
  area.beside(0.97, brief(Math.max(...above, ...below)));
  area.beside(0.5, "0");
  area.title(t("closer.size"));
}

// -- golden against my

function scatter(canvas, detail) {
  const area = frame(canvas);
  const codes = bytes(detail.scatter);
  const size = Math.sqrt(codes.length);
  const most = Math.max(1, ...codes);
  const paint = painter();
  const [wide, high] = [area.width / size, area.height / size];
  codes.forEach((code, place) => {
    if (!code) return;
    const [golden, my] = [Math.floor(place / size), place % size];
    area.context.fillStyle = css(paint(Math.abs(golden - my) > 1 ? 3 : 1, 0.25 + (0.75 * code) / most));
    area.context.fillRect(PAD.left + golden * wide, area.y((my + 1) / size), wide + 0.3, high + 0.3);
  });
  area.context.strokeStyle = variable("--soft");
  area.context.setLineDash([3, 3]);
  area.context.beginPath();
  area.context.moveTo(area.x(0), area.y(0));
  area.context.lineTo(area.x(1), area.y(1));
  area.context.stroke();
  area.context.setLineDash([]);
  for (const share of [0, 0.5, 1]) {
    const value = brief(valueAt(detail, share));
    area.below(share, value, share === 0 ? "left" : share === 1 ? "right" : "center");
    area.beside(share, value);
  }
  area.title(`${t("closer.golden")} →   ${t("closer.my")} ↑`);
}

/** The value at a place of the scatter's axis. */
function valueAt({ low, high, unit }, share) {
  if (!unit) return low + share * (high - low);
  const [from, to] = [Math.asinh(low / unit), Math.asinh(high / unit)];
  return unit * Math.sinh(from + share * (to - from));
}

// -- the error over the last two dimensions

function imageNote(detail) {
  const [rows, columns] = detail.image_width;
  return rows * columns > 1 ? t("closer.binned", { rows, columns }) : "";
}

function image(canvas, detail) {
  const area = frame(canvas);
  const codes = bytes(detail.image);
  const [height, width] = detail.image_size;
  const paint = painter();
  const pixels = area.context.createImageData(width, height);
  const depth = Math.min(1, Math.log(1 / DEPTH) / (Math.log(detail.image_high / detail.image_low) || 1));
  const shade = (code) => Math.max(0, 1 - (1 - (code - 1) / CODES) / depth);
  codes.forEach((code, place) => {
    const colour = code === 0 ? paint(-1) : code === 255 ? paint(2) : paint(3, shade(code));
    pixels.data.set([...colour, 255], place * 4);
  });
  const source = new OffscreenCanvas(width, height);
  source.getContext("2d").putImageData(pixels, 0, 0);
  area.context.imageSmoothingEnabled = false;
  area.context.drawImage(source, PAD.left, PAD.top, area.width, area.height);
  const axes = detail.axes.slice(-2);
  const columns = axes.at(-1).size;
  const rows = axes.length > 1 ? axes[0].size : 1;
  area.below(0, "0", "left");
  area.below(1, String(columns - 1), "right");
  area.beside(1, "0");
  if (rows > 1) area.beside(0, String(rows - 1));
  area.title(t("closer.scale", { low: brief(Math.max(detail.image_low, detail.image_high * DEPTH)), high: brief(detail.image_high) }));
  canvas.onmousemove = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left - PAD.left) / area.width) * width);
    const row = Math.floor(((event.clientY - box.top - PAD.top) / area.height) * height);
    const inside = row >= 0 && column >= 0 && row < height && column < width;
    showTip(inside ? [h("div", {}, pixelText(detail, row, column, codes[row * width + column]))] : null, event);
  };
  canvas.onmouseleave = () => showTip(null);
}

function pixelText(detail, row, column, code) {
  const [high, wide] = detail.image_width;
  const span = (place, width) => (width > 1 ? `${place * width}–${place * width + width - 1}` : place);
  const ratio = detail.image_high / detail.image_low || 1;
  const error = code === 0 ? 0 : code === 255 ? Infinity : detail.image_low * ratio ** ((code - 1) / CODES);
  const value = code === 255 ? t("closer.nonfinite") : brief(error);
  return t("closer.pixel", { row: span(row, high), column: span(column, wide), value });
}

// -- the error along one dimension

function axisFigure(detail, axis, number) {
  const canvasOf = (canvas) => alongAxis(canvas, axis);
  const note = axis.width > 1 ? t("closer.each", { width: axis.width }) : "";
  const one = figure("closer.axis", canvasOf, "", note);
  one.element.querySelector("b").textContent = t("closer.axis", { number, size: axis.size });
  return one;
}

function alongAxis(canvas, axis) {
  const area = frame(canvas);
  const values = [...axis.rms, ...axis.largest].filter((value) => value > 0);
  if (!values.length) return;
  const high = Math.ceil(Math.log10(Math.max(...values)));
  const low = Math.min(high - 1, Math.max(high - 6, Math.floor(Math.log10(Math.min(...values)))));
  const place = (value) => (value > 0 ? Math.max(0, (Math.log10(value) - low) / (high - low)) : 0);
  const wide = area.width / axis.rms.length;
  axis.rms.forEach((value, bin) => {
    const top = value < 0 ? 1 : place(value); // -1 stands for what is not finite
    area.context.fillStyle = variable(value < 0 ? "--fail" : "--accent");
    area.context.fillRect(PAD.left + bin * wide, area.y(top), Math.max(1, wide - (wide > 3 ? 1 : 0)), top * area.height);
  });
  area.context.fillStyle = variable("--text");
  axis.largest.forEach((value, bin) => {
    if (value > 0) area.context.fillRect(PAD.left + bin * wide, area.y(place(value)) - 1, Math.max(2, wide - 1), 1.5);
  });
  for (let power = low; power <= high; power += Math.max(1, Math.ceil((high - low) / 4))) {
    area.beside((power - low) / (high - low), `1e${power}`);
  }
  area.below(0, "0", "left");
  area.below(1, String(axis.size - 1), "right");
  area.title(t("closer.rms"));
}

// -- the worst elements

function worst(detail, report, row) {
  if (!detail.worst.length) return null;
  const sizes = detail.axes.map((axis) => axis.size);
  const index = (flat) => {
    const found = [];
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      found.unshift(flat % sizes[axis]);
      flat = Math.floor(flat / sizes[axis]);
    }
    return `[${report.text("golden_shape", row) === "[]" ? "" : found.join(", ")}]`;
  };
  const heads = ["closer.index", "closer.golden", "closer.my", "closer.difference"];
  return h(
    "div",
    { className: "worst" },
    h("b", {}, t("closer.worst", { count: detail.worst.length })),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((key) => h("th", {}, t(key))))),
      h("tbody", {}, detail.worst.map((one) =>
        h("tr", {}, [index(one.index), one.golden, one.my, brief(Number(one.my) - Number(one.golden))].map((cell) => h("td", { className: "mono number" }, cell))),
      )),
    ),
    h("p", { className: "soft" }, t("closer.equal", { equal: count(detail.equal), nonfinite: count(detail.nonfinite), elements: count(detail.elements) })),
  );
}

function bytes(text) {
  return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
}
