// One tip for all: what is under the pointer.

import { fill, h } from "./dom.js";

let box;

/** Show `content` (nodes) beside the pointer; null: nothing. */
export function showTip(content, event) {
  if (!box) document.body.append((box = h("div", { className: "tip", role: "tooltip" })));
  box.hidden = !content;
  if (!content) return;
  fill(box, content);
  const right = event.clientX + 14 + box.offsetWidth > window.innerWidth;
  const below = event.clientY + 16 + box.offsetHeight > window.innerHeight;
  box.style.left = `${right ? event.clientX - box.offsetWidth - 10 : event.clientX + 14}px`;
  box.style.top = `${below ? event.clientY - box.offsetHeight - 10 : event.clientY + 16}px`;
}
