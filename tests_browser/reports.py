"""Reports to look at: a real run with a planted fault, and drawn ones of any size."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from ait_cmp.report import Facts, Report, merge_reports, write_report
from ait_cmp.report.columns import COLUMNS

__all__ = ["HOSTILE", "drawn", "quick_start", "run", "written"]

ROOT = Path(__file__).parent.parent
HOSTILE = (
    "</script><img src=x onerror=document.title='owned'>",
    "<!--<script>",
    '"><svg onload=document.title="owned">',
    "{{7*7}}${7*7}",
    "第0层.注意力",
    "\u202egnp.exe",
    "a\n\x1b[31mb",
    "in:model status:fail > 3",
    "a'; touch owned; '",
)
_MODULES = ("norm", "q", "k", "v", "attention", "mlp", "output")


def run(*arguments: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A Python command, and what it printed."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def quick_start(folder: Path) -> Path:
    """The page of the quick start's model, whose q of layer 2 is rotated wrongly from token 3."""
    for side in ("golden", "library"):
        run("scripts/quickstart_model.py", side, folder).check_returncode()
    golden = folder / "golden" / "ait_dump"
    compared = run("-m", "ait_cmp", f"golden_path={golden}", f"output={folder / 'report'}")
    assert compared.returncode == 1, compared.stderr
    return folder / "report" / "cmp_report.html"


def drawn(
    tokens: int, names: int, *, fault: float = 0.4, ids: tuple[str, ...] = (), ranks: int = 1
) -> pl.DataFrame:
    """Rows of so many tokens and tensors of each rank: errors that grow along the model like
    rounding, and jump at `fault` of it, in the last tokens."""
    random = np.random.default_rng(0)
    count = tokens * names * ranks
    place = np.tile(np.arange(names), tokens * ranks)
    token = np.tile(np.repeat(np.arange(tokens), names), ranks)
    rank = np.repeat(np.arange(ranks), tokens * names)
    expected = 2e-3 * (1 + place / names * 20)
    fails = (place == int(fault * names)) & (token >= tokens // 2) & (rank == ranks - 1)
    level = expected * np.exp(random.normal(-1, 0.3, count)) * np.where(fails, 60, 1)
    named = ids or tuple(
        f"model.layers.{number // len(_MODULES)}.{_MODULES[number % len(_MODULES)]}"
        for number in range(names)
    )
    first = fails & (token == tokens // 2)
    text = {
        "data_id": pl.Series(named)[place],
        "golden_data_path": pl.Series(
            [f"/dumps/golden/{t}/{p}_tensor.pth" for t, p in _two(token, place)]
        ),
        "my_data_path": pl.Series(
            [f"/dumps/my/{t}/{p}/outtensor0.bin" for t, p in _two(token, place)]
        ),
        "golden_dtype": "torch.float32",
        "my_dtype": "torch.bfloat16",
        "golden_shape": "[8, 256]",
        "my_shape": "[8, 256]",
        "status": pl.Series(np.where(fails, "fail", "pass")),
        "reason": pl.Series([("TOLERANCE" if one else None) for one in fails]),
        "cmp_fail_reason": pl.Series([("it is wrong" if one else "") for one in fails]),
        "first_divergence": pl.Series(
            [("from here on; it jumps" if one else None) for one in first]
        ),
        "dump": pl.Series([f"{100 + one}_0" for one in rank]),
        "rank": pl.Series([str(one) if ranks > 1 else None for one in rank]),
        "worst_index": pl.Series([f"[{i}, {j}]" for i, j in random.integers(0, 256, (count, 2))]),
        "worst_golden": pl.Series(random.normal(size=count)).cast(pl.String),
        "worst_my": pl.Series(random.normal(size=count)).cast(pl.String),
        "order_by": "",
    }
    whole = {"token_id": token, "order": np.arange(count) % (tokens * names), "elements": 2048}
    levels = {
        "error_level": level,
        "expected_error": expected,
        "relative_euclidean_distance": level,
    }
    levels["cosine_similarity"] = 1 - level**2 / 2
    columns = []
    for name, column in COLUMNS.items():
        given = ({**text, **whole, **levels}).get(name)
        if given is None and column.dtype == pl.Float64 and not name.startswith(_SELDOM):
            given = level * random.lognormal(size=count)
        columns.append(pl.lit(given).cast(column.dtype).alias(name))
    return pl.select(*columns)


# Of which a run of this kind has none.
_SELDOM = ("flip", "position", "same_top", "top5", "golden_perp", "my_perp", "check")


def _two(one: np.ndarray, two: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(one.tolist(), two.tolist(), strict=True))


def report_of(table: pl.DataFrame, folder: Path) -> Report:
    """The report whose table this is."""
    folder.mkdir(parents=True, exist_ok=True)
    table.write_parquet(folder / "cmp_report.parquet")
    facts = Facts({"ait_cmp": "0"}, {"golden_path": "/dumps/golden", "tolerance.name": "dtype"})
    return merge_reports([("", folder / "cmp_report.parquet")], facts)


def written(table: pl.DataFrame, folder: Path) -> tuple[Path, float]:
    """The page of these rows, and how many seconds it took to write."""
    report = report_of(table, folder)
    start = time.perf_counter()
    (path,) = write_report(report, folder, ["html"])
    return path, time.perf_counter() - start
