"""Draw the result of the verdict benchmark: false alarms against faults found first, by rule.

python scripts/verdict_bench.py --json result.json
python scripts/verdict_figure.py result.json docs/verdicts.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from verdict.judged import EVERY, Found
from verdict.rules import OTHERS

mpl.use("svg")
from matplotlib import pyplot as plt

_CROWD = 10.0  # % of false alarms
LABELS = (
    "ait_cmp dtype", "atol/rtol 1e-5", "assert_close", "mean and max relative", "1 − 2Σxy/Σ(x²+y²)",
    "cosine ≥ 0.999", "cosine ≥ 0.99",
)  # fmt: skip


def shares(results: dict[str, Any]) -> list[tuple[float, float]]:
    """(false alarms, share of the benign rows; faults found first, share of all) of each rule."""
    passes = [one for one in results["benign"] if one["density"] == EVERY and not one["scheme"]]
    faults = [Found(**one) for one in results["faults"] if one["density"] == EVERY]
    faults = [fault for fault in faults if fault.distinguishable and not fault.scheme]
    rows = sum(one["rows"] for one in passes)
    alarms = [sum(len(one["alarms"]) for one in passes)]
    alarms += [sum(one["peers"].get(name, 0) for one in passes) for name in OTHERS]
    first = [sum(fault.first for fault in faults)]
    first += [sum(name in fault.peers_first for fault in faults) for name in OTHERS]
    shares = (
        (100 * one / rows, 100 * two / len(faults)) for one, two in zip(alarms, first, strict=True)
    )
    return [*shares]


def draw(points: list[tuple[float, float]], path: Path) -> None:
    """A dot for each rule: the best place is the upper left corner."""
    mpl.rcParams["svg.hashsalt"] = "ait_cmp"  # the same file from the same result
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axes.set_xscale("symlog", linthresh=0.1)
    crowded = 0
    for label, (alarms, found) in zip(LABELS, points, strict=True):
        ours = label == LABELS[0]
        crowded += alarms >= _CROWD  # labels of these stand above each other
        axes.plot(alarms, found, "o", color="tab:green" if ours else "tab:gray")
        axes.annotate(
            f"{label} ({alarms:.2g} %, {found:.3g} %)",
            (alarms, found),
            (6, -4) if alarms < _CROWD else (4, 12 * crowded - 4),
            textcoords="offset points",
            ha="left" if alarms < _CROWD else "right",
            fontsize=8,
            weight="bold" if ours else "normal",
        )
    axes.set(
        xlim=(-0.02, 150),
        ylim=(-4, 108),
        xlabel="false alarms, % of benign rows (fp32, tf32, bf16, fp16)",
        ylabel="faulty operation named first, % of faults",
    )
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(shares(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]))
