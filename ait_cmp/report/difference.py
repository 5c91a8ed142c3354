"""Two reports of the same job: which rows were mended, broke, came, went, or moved beyond noise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ait_cmp.files.output import in_places_of
from ait_cmp.judging import Status
from ait_cmp.report.columns import judged_level
from ait_cmp.report.markdown import as_code, as_text, table_lines
from ait_cmp.report.table import safe_table
from ait_cmp.values.errors import Reason, ReportError, os_reason
from ait_cmp.values.text import counted, printable
from ait_cmp.values.tokens import row_name

__all__ = [
    "CHANGES",
    "DIFFERENCE",
    "SIDES",
    "Difference",
    "called",
    "changed_rows",
    "compare_reports",
    "difference_markdown",
]

Tolerances = Sequence[Mapping[str, Any]]
DIFFERENCE = "cmp_diff"
SIDES = ("base", "new")
# What a row may be, the worst first: what it says, and whether it is a regression.
CHANGES: dict[str, tuple[str, bool]] = {
    "broken": ("passed, or was skipped, and does not pass any more", True),
    "new and not passing": ("is in the new run alone, and does not pass", True),
    "gone": ("was compared, and is not in the new run", True),
    "worse": (
        "still does not pass: its error grew beyond noise, or more of it is not finite, or it "
        "cannot be compared any more",
        True,
    ),
    "grown": (
        "passes, with an error that grew beyond noise, or with more that is not finite",
        False,
    ),
    "changed": ("is otherwise not as it was", False),
    "fixed": ("did not pass, and passes", False),
    "new": ("is in the new run alone, and passes", False),
    "better": ("has an error that shrank beyond noise, or less that is not finite", False),
    "same": ("is as it was", False),
}
# Two builds that differ in how they round, of one model on the same input: the ratio of errors of
# rows of N elements stayed within exp(2.6 / √N), and 1.25 for the largest.
_RATIO, _BY_COUNT = 1.25, 4.0
# An error that is less than this part of what rounding explains says nothing.
_TELLING = 0.25
_KEY = ("job", "token_id", "data_id", "rank")
_CALLED = ("name", "made")  # of a tolerance: what judges nothing
_ROWS = 20  # of each list, in Markdown
_BOTH = ("status", "reason", "error_level", "relative_euclidean_distance", "cosine_similarity")
# Of elements that are not finite on one side, or not alike on both: what makes their number.
_ASTRAY = "nonfinite"
_COUNTED = ("nonfinite_golden", "nonfinite_my", "nonfinite_different")
_OF_SIDE = (*_BOTH, "expected_error", "elements", "cmp_fail_reason", "order")


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """`table` has a line for each row of either run, the worst change first; `counts` how many
    there are of each of `CHANGES`; `ambiguous` how many rows share job, name, token and rank with
    others, and were joined in their order; `tolerances` by what the two runs were judged, where
    that is known and is not the same."""

    table: pl.DataFrame
    counts: Mapping[str, int]
    ambiguous: int
    tolerances: tuple[str, str] | None = None

    @property
    def regressed(self) -> bool:
        """Whether anything is worse than it was."""
        return any(count and CHANGES[change][1] for change, count in self.counts.items())

    def to_polars(self) -> pl.DataFrame:
        """The rows that are not as they were."""
        return self.table.filter(pl.col("change") != "same")

    @property
    def told(self) -> str:
        """How many there are of each change, in words."""
        return ", ".join(f"{count} {change}" for change, count in self.counts.items() if count)

    def __str__(self) -> str:
        found = "regressed" if self.regressed else "no regression"
        return f"{counted(len(self.table), 'row')}: {self.told}; {found}"

    def __repr__(self) -> str:
        return "\n  ".join(filter(None, (str(self), self.judged)))

    @property
    def judged(self) -> str:
        """That rows may differ by their tolerances alone, in a sentence; empty where not."""
        if self.tolerances is None:
            return ""
        base, new = map(printable, self.tolerances)
        other = f"another {new}" if base == new else new
        return f"base was judged by tolerance {base}, new by {other}: rows may differ by that alone"

    def write(self, folder: Path, told: Mapping[str, str] | None = None) -> list[Path]:
        """`cmp_diff.csv`, `.md` and `.html`; their paths. `told` names the sides to the page.
        Raises ReportError."""
        from ait_cmp.report.difference_page import difference_page  # which is made of this

        table = safe_table(self.to_polars())
        texts = {
            "csv": table.write_csv(),
            "md": difference_markdown(self),
            "html": difference_page(self, told or {}),
        }
        paths = [folder / f"{DIFFERENCE}.{name}" for name in texts]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with in_places_of(paths) as temporaries:
                for path, text in zip(temporaries, texts.values(), strict=True):
                    path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise ReportError(
                f"the difference cannot be written to {folder}: {os_reason(exc)}; free the place "
                "or choose another with output=…"
            ) from exc
        return paths


def compare_reports(
    base: pl.DataFrame, new: pl.DataFrame, *, tolerances: Sequence[Tolerances] = ((), ())
) -> Difference:
    """The rows of two reports, joined by name, token and rank, where both are of sweeps also by
    job, and never by process: process ids differ from run to run. `tolerances` are those of each
    that are known, in plain values."""
    if not (_has_job(base) and _has_job(new)):
        base, new = (table.drop("job", strict=False) for table in (base, new))
    sides = {"base": _keyed(base), "new": _keyed(new)}
    ambiguous = max(int((side["_again"] > 0).sum()) for side in sides.values())
    by = [*_KEY, "_again"]
    joined = (
        _side(sides["base"], "base", by)
        .join(_side(sides["new"], "new", by), on=by, how="full", coalesce=True, nulls_equal=True)
        .with_columns(_ratio().alias("error_ratio"))
    )
    told = joined.with_columns(_change(joined).alias("change"))
    ranks = {change: rank for rank, change in enumerate(CHANGES)}
    ordered = told.sort(
        pl.col("change").replace_strict(ranks, return_dtype=pl.Int64),
        pl.col("token_id"),
        pl.coalesce("new_order", "base_order"),
        nulls_last=True,
        maintain_order=True,
    )
    kept = [name for name in _KEY if name != "job" or _has_job(base)]
    columns = ["change", *kept, *(f"{side}_{name}" for name in _BOTH for side in sides)]
    columns += ["error_ratio", "base_cmp_fail_reason", "new_cmp_fail_reason"]
    columns += [f"{side}_{_ASTRAY}" for side in sides]
    found = ordered["change"].to_list()
    return Difference(
        ordered.select(columns),
        {one: found.count(one) for one in CHANGES},
        ambiguous,
        _judged_apart(*tolerances),
    )


def _judged_apart(base: Tolerances, new: Tolerances) -> tuple[str, str] | None:
    """How the tolerances of two runs are called, where both are known and judge otherwise."""
    if not (base and new) or _judging(base) == _judging(new):
        return None
    one, other = (", ".join(sorted({str(one.get("name")) for one in side})) for side in (base, new))
    return one, other


def _judging(tolerances: Tolerances) -> set[str]:
    """All of each that judges."""
    return {
        json.dumps({name: one[name] for name in one if name not in _CALLED}, sort_keys=True)
        for one in tolerances
    }


def _has_job(table: pl.DataFrame) -> bool:
    """Whether it is of a sweep."""
    return "job" in table.columns


def _keyed(table: pl.DataFrame) -> pl.DataFrame:
    """With a job and a rank, if they are empty, and which of equal names a row is."""
    for name in ("job", "rank"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.String).alias(name))
    again = pl.int_range(pl.len()).over(_KEY).alias("_again")
    return table.with_columns(again)


def _side(table: pl.DataFrame, side: str, by: list[str]) -> pl.DataFrame:
    astray = pl.sum_horizontal(_COUNTED, ignore_nulls=False).alias(f"{side}_{_ASTRAY}")
    told = table.with_columns(judged_level())
    return told.select(*by, *(pl.col(name).alias(f"{side}_{name}") for name in _OF_SIDE), astray)


def _ratio() -> pl.Expr:
    """How many times its error a row has in the new run; 1 where both are none."""
    base, new = pl.col("base_error_level"), pl.col("new_error_level")
    return pl.when((base == 0) & (new == 0)).then(1.0).otherwise(new / base)


def _change(joined: pl.DataFrame) -> pl.Expr:
    base, new = pl.col("base_status"), pl.col("new_status")
    bad = [Status.FAIL.value, Status.ERROR.value]
    passes, was_bad, is_bad = new == Status.PASS.value, base.is_in(bad), new.is_in(bad)
    lost = (base == Status.PASS.value) & ~passes
    lame = (base == Status.FAIL.value) & (new == Status.ERROR.value)  # could be compared
    grown, shrunk = _moved()
    other = (base != new) | pl.col("base_reason").ne_missing(pl.col("new_reason"))
    return (
        pl.when(base.is_null() & passes)
        .then(pl.lit("new"))
        .when(base.is_null() & is_bad)
        .then(pl.lit("new and not passing"))
        .when(base.is_null())
        .then(pl.lit("new"))
        .when(new.is_null() & base.is_in([Status.SKIPPED.value, Status.ERROR.value]))
        .then(pl.lit("changed"))
        .when(new.is_null())
        .then(pl.lit("gone"))
        .when(lost | (~was_bad & is_bad))
        .then(pl.lit("broken"))
        .when(was_bad & passes)
        .then(pl.lit("fixed"))
        .when(was_bad & is_bad & (grown | lame))
        .then(pl.lit("worse"))
        .when(passes & grown)
        .then(pl.lit("grown"))
        .when(shrunk)
        .then(pl.lit("better"))
        .when(other)
        .then(pl.lit("changed"))
        .otherwise(pl.lit("same"))
    )


def _moved() -> tuple[pl.Expr, pl.Expr]:
    """Whether an error grew, and whether it shrank, by more than two equal runs differ; of what is
    not finite there is no error, so that less of it may leave a larger one, which tells nothing."""
    ratio = pl.col("error_ratio").fill_nan(None)
    elements = pl.min_horizontal("base_elements", "new_elements").clip(1)
    limit = _RATIO * (_BY_COUNT / elements.sqrt()).exp()
    larger = pl.max_horizontal("base_error_level", "new_error_level")
    explained = pl.max_horizontal("base_expected_error", "new_expected_error").fill_null(0.0)
    tells = larger > _TELLING * explained
    grown = ((ratio > limit) & tells).fill_null(False)
    shrunk = ((ratio * limit < 1) & tells).fill_null(False)
    more, less = _astray()
    return more | (grown & ~less), ~more & (shrunk | (less & ~grown))


def _astray() -> tuple[pl.Expr, pl.Expr]:
    """Whether more, and whether less, of a row is not finite, and not alike on both sides."""
    base, new = (pl.col(f"{side}_{_ASTRAY}") for side in SIDES)
    was, fails = ((pl.col(f"{side}_reason") == Reason.NONFINITE).fill_null(False) for side in SIDES)
    more = (new > base).fill_null(False) | (~was & fails & base.is_not_null())
    return more, ~more & (new < base).fill_null(False)


def changed_rows(
    difference: Difference, most: int
) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Each change that there is, of how many rows, and the first `most` of these."""
    for change, count in difference.counts.items():
        if count and change != "same":
            rows = difference.table.filter(pl.col("change") == change).head(most)
            yield change, count, rows.rows(named=True)


def difference_markdown(difference: Difference) -> str:
    """The counts, and the first rows of each change."""
    mark = "❌" if difference.regressed else "✅"
    lines = [f"## {mark} ait_cmp diff: {as_text(str(difference))}"]
    if difference.judged:
        lines += ["", as_text(difference.judged)]
    for change, count, rows in changed_rows(difference, _ROWS):
        lines += ["", f"### {count} {change}: {CHANGES[change][0]}", ""]
        cells = [
            [
                as_code(called(row)),
                *(_cell(row[f"{side}_{name}"]) for name in _BOTH[:3] for side in SIDES),
            ]
            for row in rows
        ]
        headings = [f"{side} {name}" for name in ("status", "reason", "error") for side in SIDES]
        lines += table_lines(["row", *headings], cells)
        if count > _ROWS:
            lines += ["", f"and {count - _ROWS} more"]
    return "\n".join(lines) + "\n"


def called(row: Mapping[str, Any]) -> str:
    """The name of a row of the table, with its job and its rank where it has these."""
    apart = [f"{name} {row[name]}" for name in ("job", "rank") if row.get(name)]
    beside = f" ({', '.join(apart)})" if apart else ""
    return f"{row_name(row['data_id'], row['token_id'])}{beside}"


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else as_code(str(value))
