// The report that the page holds; written by ait_cmp/report/page_data.py and packed.py.

/** Read the data of the page. */
export async function readReport(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const content = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(content.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(content.subarray(4, 4 + length)));
  const columns = new Map();
  let start = 4 + length;
  for (const said of header.columns) {
    columns.set(said.name, new Column(said, content.subarray(start, start + said.bytes), header.rows));
    start += said.bytes;
  }
  return new Report(header, columns);
}

/** One column, unpacked when it is first looked at. */
class Column {
  #bytes;
  #rows;
  #values;
  #texts;

  constructor(said, bytes, rows) {
    this.name = said.name;
    this.isText = said.kind === "text";
    this.isWhole = Boolean(said.whole);
    this.said = said;
    this.#bytes = bytes;
    this.#rows = rows;
  }

  /** Numbers, nan where a cell is empty; of text the number of each row's, 0 where it is empty. */
  get values() {
    this.#values ??= this.isText ? this.#codes() : this.#numbers();
    return this.#values;
  }

  /** The different texts; that of number 0 is empty. */
  get texts() {
    this.#texts ??= [
      "",
      ...JSON.parse(new TextDecoder().decode(this.#bytes.subarray(-this.said.texts))),
    ];
    return this.#texts;
  }

  text(row) {
    return this.texts[this.values[row]];
  }

  get isEmpty() {
    return this.isText ? this.texts.length === 1 : this.values.every(Number.isNaN);
  }

  #numbers() {
    const values = new Float64Array(this.#rows);
    this.#spread(new Uint8Array(values.buffer), 8, 8 - this.said.planes);
    return values;
  }

  #codes() {
    const values = new Uint32Array(this.#rows);
    this.#spread(new Uint8Array(values.buffer), 4, 0);
    return values;
  }

  /** Put the planes of bytes where they belong in values of `size` bytes. */
  #spread(target, size, first) {
    for (let plane = 0; plane < this.said.planes; plane++) {
      const from = plane * this.#rows;
      for (let row = 0, to = first + plane; row < this.#rows; row++, to += size) {
        target[to] = this.#bytes[from + row];
      }
    }
  }
}

const EMPTY = { isText: true, isEmpty: true, values: [], texts: [""], text: () => "" };

class Report {
  constructor(header, columns) {
    this.said = header;
    this.rows = header.rows;
    this.columns = columns;
    const expected = this.numbers("expected_error");
    if (expected) this.#add("times_expected", expected.map((one, row) => this.#judged(row) / one));
    this.weights = this.numbers("stands_for");
  }

  #add(name, values) {
    const column = { name, isText: false, isWhole: false, isEmpty: false, values };
    if (!values.every(Number.isNaN)) this.columns.set(name, column);
  }

  // The error that a row is judged by: of a module that stands alone its own.
  #judged(row) {
    const own = this.number("own_error", row);
    return Number.isNaN(own) ? this.number("error_level", row) : own;
  }

  column(name) {
    return this.columns.get(name) ?? EMPTY;
  }

  numbers(name) {
    return this.columns.get(name)?.values;
  }

  number(name, row) {
    return this.columns.get(name)?.values[row] ?? NaN;
  }

  text(name, row) {
    return this.column(name).values.length ? this.column(name).text(row) : "";
  }

  /** For how many rows of the report a row of the page stands. */
  weight(row) {
    return this.weights ? this.weights[row] : 1;
  }

  token(row) {
    const token = this.number("token_id", row);
    return Number.isNaN(token) ? null : token;
  }

  /** What a person calls a row. */
  name(row) {
    const token = this.token(row);
    const id = this.text("data_id", row);
    return token === null ? id : `token ${token} ${id}`;
  }
}
