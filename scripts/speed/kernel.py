"""The kernel in memory, against plain torch expressions and against a loop in C++.

Every side has one core, and what counts is processor time, which other programs disturb least. A
row's figure is the ratio of two medians, of runs taken in turn.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from ait_cmp.engine import EVERYTHING, Options, range_stats
from ait_cmp.source import from_memory
from ait_cmp.values.dtypes import DTYPES, tolerances
from speed.naive import naive_metrics
from speed.rows import Row

__all__ = ["fused", "kernel_rows", "pairs"]

_EPSILON = 2.0**-23
_FLAGS = (
    "-O3 -march=native -fno-math-errno -fno-trapping-math -fassociative-math -fno-signed-zeros "
    "-ffinite-math-only -shared -fPIC -pthread"
)

Seconds = dict[str, float]


def kernel_rows(elements: int = 1 << 26) -> list[Row]:
    """The rows of the table, for pairs of so many elements (float64: a quarter)."""
    made = pairs(elements)
    sides: dict[str, Callable[[], object]] = {
        name: partial(fused, name, pair) for name, pair in made.items()
    }
    sides["no KL"] = partial(fused, "float32", made["float32"], softmax=False)
    with tempfile.TemporaryDirectory() as folder:
        loop = _cpp_loop(Path(folder))
        if loop is not None:
            sides["C++"] = partial(_cpp, loop, *made["float32"])
        seconds = _in_turn(sides, 9)
    naive = partial(naive_metrics, *map(torch.from_numpy, made["float32"]))
    with _one_thread():
        alone = _in_turn({"torch": naive, "float32": sides["float32"]}, 3)
    return [*_bounded_rows(elements, seconds, alone), *_type_rows(made, seconds)]


def pairs(elements: int) -> dict[str, tuple[Any, Any]]:
    """A pair of each type, of so many elements (float64: a quarter)."""
    generator = np.random.default_rng(0)
    golden = generator.standard_normal(elements, np.float32)
    my = golden * (1 + np.float32(1e-3) * generator.standard_normal(elements, np.float32))
    few = slice(elements // 4)
    return {
        "float32": (golden, my),
        "float16": (golden.astype(np.float16), my.astype(np.float16)),
        "bfloat16": (_bfloat16(golden), _bfloat16(my)),
        "int8": ((20 * golden).astype(np.int8), (20 * my).astype(np.int8)),
        "float64": (golden[few].astype(np.float64), my[few].astype(np.float64)),
    }


def _bfloat16(values: Any) -> Any:
    return torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()


def fused(name: str, pair: Sequence[Any], *, softmax: bool = True) -> None:
    """Take all stats of a pair of arrays of one type, by the kernel alone."""
    golden, my = (from_memory(DTYPES[name], side) for side in pair)
    options = Options(
        _EPSILON, *tolerances(golden.dtype, my.dtype), EVERYTHING._replace(softmax=softmax)
    )
    range_stats(golden=golden, my=my, start=0, stop=golden.elements, options=options)


def _cpp_loop(folder: Path) -> Any:
    """The function in reference.cpp; None where there is no compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    source, library = Path(__file__).with_name("reference.cpp"), folder / "reference.so"
    subprocess.run([compiler, *_FLAGS.split(), source, "-o", library], check=True)
    return ctypes.CDLL(str(library)).compare


def _cpp(loop: Any, golden: Any, my: Any) -> None:
    rtol, atol = tolerances(DTYPES["float32"], DTYPES["float32"])
    sides = [ctypes.c_void_p(side.ctypes.data) for side in (golden, my)]
    limits = [ctypes.c_float(value) for value in (_EPSILON, rtol, atol)]
    out = (ctypes.c_double * 20)()
    loop(*sides, ctypes.c_int64(golden.size), 1, *limits, 1, 1, out)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _in_turn(sides: dict[str, Callable[[], object]], times: int) -> Seconds:
    """The median seconds of each side, called one after the other, after a first round."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(times + 1):
        for name, side in sides.items():
            begun = time.process_time()
            side()
            taken[name].append(time.process_time() - begun)
    return {name: median(each[1:]) for name, each in taken.items()}


def _bounded_rows(elements: int, seconds: Seconds, alone: Seconds) -> list[Row]:
    def row(name: str, slow: float, fast: float, bound: float) -> Row:
        detail = f"{slow * 1e9 / elements:.2f} / {fast * 1e9 / elements:.2f} ns an element"
        return Row(name, slow / fast, f">= {bound:g}", slow / fast >= bound, detail)

    rows = [row("kernel: torch expressions / fused", alone["torch"], alone["float32"], 30)]
    if "C++" in seconds:
        rows.append(row("kernel: C++ loop / fused", seconds["C++"], seconds["float32"], 0.8))
    rows.append(row("kernel: with KL / without", seconds["float32"], seconds["no KL"], 2))
    return rows


def _type_rows(pairs: dict[str, tuple[Any, Any]], seconds: Seconds) -> list[Row]:
    """The time of an element of float32 over that of each type."""
    each = {name: seconds[name] * 1e9 / pair[0].size for name, pair in pairs.items()}
    sizes = {name: 2 * pair[0].itemsize for name, pair in pairs.items()}
    return [
        Row(
            f"kernel: float32 / {name}",
            each["float32"] / time,
            "",
            True,
            f"{time:.2f} ns an element, {sizes[name] / time:.1f} GB/s",
        )
        for name, time in each.items()
    ]
