// Colours: hue says pass or fail, lightness how large the error is; both themes, no red on green.

const SCALES = {
  light: {
    pass: ["#eef3f8", "#c3d7ea", "#86b0d6", "#4783b8", "#1f5a92"],
    fail: ["#fbd3a5", "#f9a55e", "#ee6c34", "#cf3218", "#8c0d1c"],
  },
  dark: {
    pass: ["#1b2734", "#23405c", "#2f6391", "#4a8fc9", "#8fc3f0"],
    fail: ["#6e2c1a", "#a5391d", "#d9542a", "#f58a4b", "#ffd09a"],
  },
};
const PLAIN = {
  light: { error: "#d6b400", skipped: "#d4d4d8", none: "#f8f9fb" },
  dark: { error: "#c9a800", skipped: "#3f4650", none: "#12181f" },
};
const STEPS = 128;

/** Which theme is shown now. */
export function theme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

/** A variable of the style sheet. */
export function variable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const tables = new Map();

/** (status, place) => [red, green, blue]; status as in `STATUSES` of model.js. */
export function painter(name = theme()) {
  if (!tables.has(name)) tables.set(name, makeTable(name));
  const table = tables.get(name);
  return (status, place) => {
    if (status < 0) return table.none;
    if (status === 0) return table.skipped;
    if (status === 2) return table.error;
    const step = Number.isNaN(place) ? 0 : Math.round(place * (STEPS - 1));
    return (status === 3 ? table.fail : table.pass)[step];
  };
}

function makeTable(name) {
  const plain = Object.fromEntries(Object.entries(PLAIN[name]).map(([key, one]) => [key, rgb(one)]));
  return { ...plain, pass: ramp(SCALES[name].pass), fail: ramp(SCALES[name].fail) };
}

function ramp(stops) {
  const colours = stops.map(rgb);
  return Array.from({ length: STEPS }, (_, step) => {
    const place = (step / (STEPS - 1)) * (colours.length - 1);
    const first = Math.min(Math.floor(place), colours.length - 2);
    const part = place - first;
    return colours[first].map((one, index) => Math.round(one + part * (colours[first + 1][index] - one)));
  });
}

function rgb(hex) {
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

export function css([red, green, blue]) {
  return `rgb(${red},${green},${blue})`;
}

/** A gradient of one hue, as the legend shows it. */
export function gradient(status) {
  const paint = painter();
  const stops = Array.from({ length: 9 }, (_, step) => css(paint(status, step / 8)));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
