// The rows as the model computed them: lines (a token of a process) of names in their order.

/** Lines, names in the order of computation, and the row of each of their cells. */
export function arrange(report) {
  const lines = linesOf(report);
  const order = orderOf(report, lines);
  const cells = new Int32Array(lines.length * order.names.length).fill(-1);
  const statuses = statusesOf(report);
  lines.forEach((line, number) => {
    for (const row of line.rows) {
      const cell = number * order.names.length + order.place[row];
      const before = cells[cell];
      if (before < 0 || statuses[row] > statuses[before]) cells[cell] = row;
    }
  });
  if (report.weights) spread(cells, order.names.length, lines.length, report);
  return { lines, names: order.names, place: order.place, cells, statuses, lineOf: lineOf(report, lines) };
}

/** Where rows stand for their neighbours, their cells do too. */
function spread(cells, width, lines, report) {
  const reach = report.weights.reduce((most, one) => Math.max(most, one), 1);
  for (let line = 0; line < lines; line++) {
    const held = cells.slice(line * width, (line + 1) * width);
    for (const [from, to, by] of [[0, width, 1], [width - 1, -1, -1]]) {
      let [row, since] = [-1, 0];
      for (let column = from; column !== to; column += by) {
        if (held[column] >= 0) [row, since] = [report.weight(held[column]) > 1 ? held[column] : -1, 0];
        else if (row >= 0 && ++since < reach && cells[line * width + column] < 0) {
          cells[line * width + column] = row;
        }
      }
    }
  }
}

export const STATUSES = ["skipped", "pass", "error", "fail"]; // what matters more comes later

function statusesOf(report) {
  const column = report.column("status");
  const ranks = column.texts.map((text) => STATUSES.indexOf(text));
  return Int8Array.from(column.values, (code) => ranks[code]);
}

function linesOf(report) {
  const found = new Map();
  const of = ["job", "dump"].map((name) => report.column(name));
  const tokens = report.numbers("token_id");
  for (let row = 0; row < report.rows; row++) {
    const [job, dump] = of.map((column) => column.values[row] ?? 0);
    const key = `${job} ${dump} ${tokens[row]}`;
    if (!found.has(key)) {
      found.set(key, {
        job: report.text("job", row),
        dump: report.text("dump", row),
        rank: report.text("rank", row),
        token: report.token(row),
        rows: [],
      });
    }
    found.get(key).rows.push(row);
  }
  const order = report.numbers("order");
  const lines = [...found.values()];
  const process = new Map();
  for (const line of lines) {
    line.process = `${line.job}\u0000${line.dump}`;
    if (!process.has(line.process)) process.set(line.process, process.size);
    line.rows.sort((one, two) => order[one] - order[two] || one - two);
  }
  return lines.sort(
    (one, two) =>
      process.get(one.process) - process.get(two.process) || (one.token ?? -1) - (two.token ?? -1),
  );
}

function lineOf(report, lines) {
  const found = new Int32Array(report.rows);
  lines.forEach((line, number) => {
    for (const row of line.rows) found[row] = number;
  });
  return found;
}

/** Names merged line by line: one that is new stands behind that which it followed. */
function orderOf(report, lines) {
  const column = report.column("data_id");
  if (report.numbers("step")) return orderBySteps(report, column);
  const next = new Int32Array(column.texts.length + 1).fill(-1);
  const placed = new Uint8Array(column.texts.length);
  const head = column.texts.length;
  for (const line of lines) {
    let before = head;
    for (const row of line.rows) {
      const code = column.values[row];
      if (!placed[code]) {
        placed[code] = 1;
        next[code] = next[before];
        next[before] = code;
      }
      before = code;
    }
  }
  const names = [];
  const position = new Int32Array(column.texts.length);
  for (let code = next[head]; code >= 0; code = next[code]) {
    position[code] = names.length;
    names.push(column.texts[code]);
  }
  return { names, place: Int32Array.from(column.values, (code) => position[code]) };
}

/** Names by their mean place, where not all rows are there to be merged. */
function orderBySteps(report, column) {
  const steps = report.numbers("step");
  const sums = new Float64Array(column.texts.length);
  const counts = new Float64Array(column.texts.length);
  column.values.forEach((code, row) => {
    sums[code] += steps[row];
    counts[code] += 1;
  });
  const codes = column.texts.map((_, code) => code).slice(1);
  codes.sort((one, two) => sums[one] / counts[one] - sums[two] / counts[two]);
  const position = new Int32Array(column.texts.length);
  codes.forEach((code, place) => (position[code] = place));
  const names = codes.map((code) => column.texts[code]);
  return { names, place: Int32Array.from(column.values, (code) => position[code]) };
}

/** What a person calls a line; the process where there are several. */
export function lineName(line, lines) {
  const several = lines.some((other) => other.process !== lines[0].process);
  const token = line.token === null ? "" : `token ${line.token}`;
  const process = several ? [line.job, line.rank ? `rank ${line.rank}` : line.dump].filter(Boolean).join(" ") : "";
  return [process, token].filter(Boolean).join(" · ") || "–";
}

/** The tree of the names, with what is worst below each node: [root]. */
export function treeOf(report, model) {
  const root = { name: "", path: "", children: new Map(), rows: [], depth: -1, first: 0 };
  const nodes = model.names.map((name) => leafOf(root, name));
  for (let row = 0; row < report.rows; row++) nodes[model.place[row]].rows.push(row);
  shorten(root);
  summarize(root, report, model);
  return root;
}

function leafOf(root, name) {
  let node = root;
  let start = 0;
  while (start <= name.length) {
    const found = name.slice(start).search(/[./]/);
    const end = found < 0 ? name.length : start + found;
    const path = name.slice(0, end);
    if (!node.children.has(path)) {
      node.children.set(path, { name: name.slice(start, end), path, children: new Map(), rows: [] });
    }
    node = node.children.get(path);
    start = end + 1;
  }
  return node;
}

/** Nodes that only lead to one other become one with it. */
function shorten(node) {
  node.children = [...node.children.values()].map((child) => {
    let shown = child;
    while (!shown.rows.length && shown.children.size === 1) {
      const [only] = shown.children.values();
      only.name = `${shown.name}${only.path[shown.path.length]}${only.name}`;
      shown = only;
    }
    shorten(shown);
    return shown;
  });
}

/** Counts, and the rows below each node. */
function summarize(node, report, model) {
  node.count = node.failing = 0;
  for (const row of node.rows) {
    node.count += report.weight(row);
    if (model.statuses[row] >= 2) node.failing += report.weight(row);
  }
  for (const child of node.children) {
    child.parent = node;
    child.depth = node.depth + 1;
    summarize(child, report, model);
    node.count += child.count;
    node.failing += child.failing;
  }
}

/** The worst row below a node by `weigh`: failing before others. */
export function worstBelow(node, weigh) {
  let worst = null;
  const take = (row) => {
    if (worst === null || weigh(row) > weigh(worst)) worst = row;
  };
  for (const row of node.rows) take(row);
  for (const child of node.children) {
    child.worst = worstBelow(child, weigh);
    if (child.worst !== null) take(child.worst);
  }
  node.worst = worst;
  return worst;
}
