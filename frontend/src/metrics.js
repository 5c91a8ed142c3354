// Metrics that the map can show, and what their colours mean.

// Numbers of a row that are no error of it.
const OTHERS = new Set([
  "token_id order elements golden_max_value golden_min_value golden_mean_value my_max_value",
  "my_min_value my_mean_value check_value check_limit expected_error noise stands_for step positions",
  "flip_margin flip_limit scored_tokens golden_perplexity my_perplexity nonfinite_alike",
  "diagnosis_explained diagnosis_rest",
].join(" ").split(" "));
// Of which 1 is best.
const SHARES = new Set([
  "cosine_similarity", "exact_match", "one_thousandth_ratio", "five_thousandths_ratio",
  "same_top1", "top5_overlap",
]);
const FIRST = ["times_expected", "own_error", "error_level", "relative_euclidean_distance", "cosine_similarity"];

/** The names of metrics that some row has, the most telling first. */
export function metricsOf(report) {
  const found = [...report.columns.values()]
    .filter((column) => !column.isText && !OTHERS.has(column.name) && !column.isEmpty)
    .map((column) => column.name);
  const first = FIRST.filter((name) => found.includes(name));
  return [...first, ...found.filter((name) => !FIRST.includes(name))];
}

/** How a metric becomes a place between 0 and 1 of a scale; `ticks` are values along it. */
export function scaleOf(report, name) {
  const isShare = SHARES.has(name);
  const values = report.numbers(name) ?? [];
  const errorOf = isShare ? (value) => 1 - value : Math.abs;
  let low = 0.1;
  let high = 100;
  if (name !== "times_expected") [low, high] = bounds(values, errorOf);
  const [from, to] = [Math.log10(low), Math.log10(high)];
  return {
    name,
    isShare,
    low,
    high,
    place(row) {
      const error = errorOf(values[row]);
      if (Number.isNaN(error)) return NaN;
      if (error <= low) return 0;
      return error >= high ? 1 : (Math.log10(error) - from) / (to - from);
    },
    valueAt: (place) => {
      const error = 10 ** (from + place * (to - from));
      return isShare ? 1 - error : error;
    },
  };
}

/** Decades that hold all errors but the very smallest. */
function bounds(values, errorOf) {
  let [low, high] = [Infinity, 0];
  for (const value of values) {
    const error = errorOf(value);
    if (!(error > 0) || error === Infinity) continue;
    if (error < low) low = error;
    if (error > high) high = error;
  }
  if (!high) return [1e-6, 1];
  high = 10 ** Math.ceil(Math.log10(high) - 1e-9);
  low = 10 ** Math.floor(Math.log10(Math.max(low, high / 1e6)) + 1e-9);
  return [Math.min(low, high / 10), high];
}

/** What the worst of several rows is by a metric: failing ones first, then the largest. */
export function weigher(model, scale) {
  return (row) => {
    const place = scale.place(row);
    return model.statuses[row] * 2 + (Number.isNaN(place) ? -0.5 : place);
  };
}
