// The answer: what the verdict is, where it went wrong first, what was compared with what.

import { h } from "./dom.js";
import { brief, count, percent } from "./format.js";
import { choose } from "./state.js";
import { t } from "./words.js";

const ORDER = ["fail", "error", "pass", "skipped"];
const SHOWN = 3; // divergences that are listed at once

/** The first section. */
export function answerOf(report) {
  const { said } = report;
  return h(
    "section",
    { className: "answer card", id: "answer" },
    h("div", { className: "verdict" }, sentence(report), counts(said)),
    diverging(report),
    h("ul", { className: "remarks" }, remarks(report).map((one) => h("li", {}, one))),
    compared(said),
  );
}

function sentence(report) {
  const { counts, divergences, all_rows: rows } = report.said;
  const bad = counts.fail ? "fail" : counts.error ? "error" : counts.pass ? "pass" : "skipped";
  const said = t(`answer.${bad}${rows === 1 ? ".one" : ""}`, {
    failing: count(counts.fail),
    errors: count(counts.error),
    rows: count(rows),
  });
  return h("h1", { className: bad }, said, divergences.length ? "" : null);
}

function counts(said) {
  return h(
    "div",
    { className: "counts" },
    ORDER.filter((status) => said.counts[status] || status !== "skipped").map((status) =>
      h(
        "button",
        {
          className: `count ${status}`,
          title: t("answer.show"),
          disabled: !said.counts[status],
          onclick: () => {
            choose("query", `status:${status}`);
            document.getElementById("rows").scrollIntoView({ behavior: "smooth" });
          },
        },
        h("b", {}, count(said.counts[status])),
        ` ${t(`status.${status}`)}`,
      ),
    ),
  );
}

/** Where it went wrong first and again, each with its explanation. */
function diverging(report) {
  const { divergences, following, unordered } = report.said;
  if (unordered) return h("p", { className: "first" }, t("answer.unordered"));
  if (!divergences.length) return null;
  // Of several ranks each has an order of its own, and a place where it goes wrong first.
  const places = report.said.places ?? [];
  const firsts = places.map(([ranks, row], number) => divergence(report, row, number, ranks));
  const others = divergences.filter((row) => !places.some((place) => place[1] === row));
  const items = [...firsts, ...others.map((row, number) => divergence(report, row, firsts.length + number))];
  const shown = Math.max(SHOWN, firsts.length);
  const more = items.slice(shown);
  return h(
    "div",
    { className: "divergences" },
    firsts.length ? h("p", { className: "soft" }, t("answer.ranks", { ranks: count(report.said.ranks) })) : null,
    h("ol", {}, items.slice(0, shown)),
    more.length
      ? h("details", {}, h("summary", {}, t("answer.more", { count: count(more.length) })), h("ol", {}, more))
      : null,
    following ? h("p", { className: "soft" }, t("answer.following", { rows: count(following) })) : null,
  );
}

function divergence(report, row, number, ranks) {
  const job = report.text("job", row);
  const rank = ranks ?? (report.said.ranks ? report.text("rank", row) : "");
  // The first has room for what explains it, apart; in the others it stands in the sentence.
  const diagnosis = number ? "" : report.text("diagnosis", row);
  const [where, ...how] = divergenceOf(report, row, diagnosis).split("; ");
  return h(
    "li",
    { className: number ? "" : "first" },
    h("span", { className: "pin" }, String(number + 1)),
    h(
      "div",
      {},
      h(
        "button",
        { className: "link", onclick: () => choose("row", row) },
        number || ranks ? report.name(row) : t("answer.first", { where: report.name(row) }),
      ),
      rank ? h("span", { className: "soft" }, ` ${t("answer.rank", { rank })}`) : null,
      job ? h("span", { className: "soft" }, ` ${t("answer.job", { job })}`) : null,
      h("span", {}, how.length ? ` ${how.join("; ")}` : ` ${where}`),
      diagnosis ? h("div", { className: "diagnosis" }, diagnosis) : null,
      number ? null : worst(report, row),
    ),
  );
}

/** Where a row diverges, without what is said elsewhere. */
export function divergenceOf(report, row, diagnosis) {
  const said = report.text("first_divergence", row);
  return diagnosis ? said.replace(`; ${diagnosis}`, "") : said;
}

function worst(report, row) {
  const [index, golden, my] = ["index", "golden", "my"].map((one) => report.text(`worst_${one}`, row));
  if (!golden) return null; // no fingerprint tells what an element is
  const given = { index, golden, my };
  return h("div", { className: "soft" }, t("answer.worst", given));
}

function remarks(report) {
  const { said } = report;
  const found = [];
  if (report.rows < said.all_rows) {
    found.push(t("answer.held", { rows: count(said.all_rows), held: count(report.rows) }));
  }
  if (said.by_statistics) found.push(t("answer.statistics", { rows: count(said.by_statistics) }));
  found.push(...yardsticks(report));
  if (said.near_ties.length) found.push(rowRemark(report, said.near_ties[0], "answer.tie", said.near_ties.length));
  if (said.logits) found.push(logits(said.logits));
  if (said.errors.length) found.push(rowRemark(report, said.errors[0], "answer.uncompared", said.counts.error - said.unpaired));
  if (said.skipped.length) found.push(rowRemark(report, said.skipped[0], "answer.passedover", said.counts.skipped));
  if (said.unpaired) {
    found.push(h("span", {}, h("a", { href: "#unpaired", onclick: scroll("unpaired") }, t("answer.unpaired", { rows: count(said.unpaired) }))));
  }
  return found;
}

/** A link inside the page that leaves the address alone. */
function scroll(id) {
  return (event) => {
    event.preventDefault();
    document.getElementById(id)?.scrollIntoView({ behavior: "smooth" });
  };
}

function rowRemark(report, row, key, rows) {
  return h(
    "span",
    {},
    `${t(key, { rows: count(rows) })} `,
    h("button", { className: "link", onclick: () => choose("row", row) }, report.name(row)),
    `: ${report.text("cmp_fail_reason", row)}`,
  );
}

function yardsticks(report) {
  const column = report.column("yardstick");
  if (!column.values.length || column.isEmpty) return [];
  const counted = new Array(column.texts.length).fill(0);
  for (let row = 0; row < report.rows; row++) counted[column.values[row]] += report.weight(row);
  return column.texts
    .map((text, code) => (code && counted[code] ? t("answer.judged", { rows: count(counted[code]), by: text }) : null))
    .filter(Boolean);
}

function logits(said) {
  const text = t("answer.logits", {
    positions: count(said.positions),
    mean: brief(said.kl_mean),
    most: brief(said.kl_most),
    same: percent(said.same_top),
  });
  if (!said.tokens || said.golden_perplexity === null) return text;
  return `${text}; ${t("answer.perplexity", { golden: said.golden_perplexity.toPrecision(5), my: said.my_perplexity.toPrecision(5) })}`;
}

function compared(said) {
  const { settings } = said;
  const sides = ["golden_path", "my_path", "reference_path"].filter((name) => settings[name] && settings[name] !== "null");
  const parts = [
    ...sides.map((name) => [t(`side.${name}`), settings[name]]),
    [t("side.tolerance"), settings["tolerance.name"]],
    [t("side.version"), said.versions.ait_cmp && `ait_cmp ${said.versions.ait_cmp}`],
    [t("side.started"), said.started && `${said.started.replace("T", " ").slice(0, 16)} UTC, ${brief(said.seconds)} s`],
  ].filter(([, value]) => value);
  return h(
    "dl",
    { className: "compared" },
    parts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
