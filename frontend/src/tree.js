// The model as a tree of the names of its modules; only what is in sight is in the document.

import { css, painter } from "./colours.js";
import { fill, h, nextFrame } from "./dom.js";
import { count } from "./format.js";
import { treeOf, worstBelow } from "./model.js";
import { quoted } from "./query.js";
import { choose, on, state } from "./state.js";
import { showTip } from "./tip.js";
import { t } from "./words.js";

const HIGH = 24; // pixels of a node

export class Tree {
  constructor(report, model, view) {
    Object.assign(this, { report, model, view });
    this.root = treeOf(report, model);
    this.open = new Set();
    this.cursor = 0;
    this.search = h("input", {
      type: "search",
      placeholder: t("tree.search"),
      ariaLabel: t("tree.search"),
      oninput: () => this.show(),
    });
    this.content = h("div", { className: "tree-content" });
    this.list = h(
      "div",
      {
        className: "tree",
        role: "tree",
        tabIndex: 0,
        ariaLabel: t("tree.title"),
        onscroll: nextFrame(() => this.#draw()),
        onkeydown: (event) => this.#key(event),
      },
      this.content,
    );
    this.element = h("div", { className: "tree-box" }, this.search, this.list);
    this.#weigh();
    on("metric theme", () => {
      this.#weigh();
      this.#draw();
    });
    on("row", (row, why) => row !== null && why !== "tree" && this.#reveal(row));
    new ResizeObserver(nextFrame(() => this.#draw())).observe(this.list);
  }

  #weigh() {
    worstBelow(this.root, this.view.weigh);
  }

  /** Once it is in the page: the way to where it went wrong, else the top. */
  start() {
    if (this.root.children.length === 1) this.open.add(this.root.children[0]);
    const [first] = this.report.said.divergences;
    if (first !== undefined) this.#reveal(first);
    else this.show();
  }

  #reveal(row) {
    const name = this.report.text("data_id", row);
    let found = null;
    const visit = (node) => {
      if (node.path === name && node.rows.length) found = node;
      for (const child of node.children) if (!found) visit(child);
    };
    visit(this.root);
    for (let node = found?.parent; node; node = node.parent) this.open.add(node);
    this.show();
    const place = this.shown.indexOf(found);
    if (place < 0) return;
    this.cursor = place;
    const top = place * HIGH;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop || top > scrollTop + clientHeight - HIGH) {
      this.list.scrollTop = Math.max(0, top - clientHeight / 2);
    }
    this.#draw();
  }

  /** List the nodes that are to be seen. */
  show() {
    const wanted = this.search.value.trim().toLowerCase();
    this.shown = [];
    const visit = (node) => {
      for (const child of node.children) {
        if (wanted && !hasName(child, wanted)) continue;
        this.shown.push(child);
        if (wanted ? !child.path.toLowerCase().includes(wanted) || this.open.has(child) : this.open.has(child)) {
          visit(child);
        }
      }
    };
    visit(this.root);
    this.cursor = Math.min(this.cursor, Math.max(0, this.shown.length - 1));
    this.#draw();
  }

  #draw() {
    if (!this.shown) return;
    this.content.style.height = `${this.shown.length * HIGH}px`;
    const first = Math.max(0, Math.floor(this.list.scrollTop / HIGH) - 5);
    const last = Math.min(this.shown.length, first + Math.ceil((this.list.clientHeight || 600) / HIGH) + 10);
    const nodes = [];
    for (let place = first; place < last; place++) nodes.push(this.#node(place));
    fill(this.content, nodes);
  }

  #node(place) {
    const node = this.shown[place];
    const isOpen = this.open.has(node);
    const chosen = state.row !== null && this.report.text("data_id", state.row) === node.path && node.rows.length;
    const element = h(
      "div",
      {
        className: `node${place === this.cursor ? " at" : ""}${chosen ? " chosen" : ""}`,
        role: "treeitem",
        ariaLevel: String(node.depth + 1),
        ariaExpanded: node.children.length ? String(isOpen) : null,
        ariaSelected: String(Boolean(chosen)),
        onclick: () => {
          this.cursor = place;
          this.#take(node);
        },
        onmousemove: (event) => showTip(this.#tip(node), event),
        onmouseleave: () => showTip(null),
      },
      h(
        "span",
        {
          className: node.children.length ? "turn" : "turn none",
          onclick: (event) => {
            event.stopPropagation();
            this.cursor = place;
            this.#turn(node);
          },
        },
        node.children.length ? (isOpen ? "▾" : "▸") : "",
      ),
      h("span", { className: "swatch" }),
      h("span", { className: "node-name" }, node.name || "–"),
      node.failing ? h("span", { className: "node-failing" }, count(node.failing)) : null,
    );
    element.style.top = `${place * HIGH}px`;
    element.style.paddingLeft = `${6 + node.depth * 14}px`;
    element.querySelector(".swatch").style.background = this.#colour(node.worst);
    return element;
  }

  #colour(row) {
    const paint = painter();
    return css(row === null ? paint(-1) : paint(this.model.statuses[row], this.view.scale.place(row)));
  }

  #tip(node) {
    return [
      h("b", {}, node.path),
      h("div", {}, t("tree.counts", { rows: count(node.count), failing: count(node.failing) })),
      node.worst === null ? null : h("div", { className: "soft" }, t("tree.worst")),
      node.worst === null ? null : h("div", {}, this.view.tip(node.worst)),
    ].filter(Boolean);
  }

  /** Its rows, and the worst of them. */
  #take(node) {
    choose("query", `in:${quoted(node.path)}`);
    if (node.worst !== null) choose("row", node.worst, "tree");
    this.#draw();
  }

  #turn(node) {
    if (this.open.has(node)) this.open.delete(node);
    else if (node.children.length) this.open.add(node);
    this.show();
  }

  #key(event) {
    const node = this.shown[this.cursor];
    const acts = {
      ArrowDown: () => (this.cursor = Math.min(this.cursor + 1, this.shown.length - 1)),
      ArrowUp: () => (this.cursor = Math.max(this.cursor - 1, 0)),
      ArrowRight: () => (this.open.has(node) ? (this.cursor += 1) : this.#turn(node)),
      ArrowLeft: () => {
        if (this.open.has(node)) this.#turn(node);
        else if (node.parent !== this.root) this.cursor = this.shown.indexOf(node.parent);
      },
      Enter: () => this.#take(node),
    };
    if (!node || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
    this.cursor = Math.min(Math.max(0, this.cursor), this.shown.length - 1);
    const top = this.cursor * HIGH;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    if (top > this.list.scrollTop + this.list.clientHeight - HIGH) {
      this.list.scrollTop = top - this.list.clientHeight + HIGH;
    }
    this.#draw();
  }
}

function hasName(node, wanted) {
  return node.path.toLowerCase().includes(wanted) || node.children.some((child) => hasName(child, wanted));
}
