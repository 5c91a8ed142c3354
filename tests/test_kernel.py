"""The compiled loops where lanes, blocks and storage meet, against plain expressions."""

from __future__ import annotations

import ast
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numba.core.errors import TypingError

from ait_cmp.engine import Options, Parts, Stats, kernel
from ait_cmp.engine.kernel import Accumulator, compiled, internals
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import Softmax
from ait_cmp.values.dtypes import DTYPES

OPTIONS = Options(epsilon=2.0**-23, rtol=1e-3, atol=1e-5)

INF, NAN = math.inf, math.nan


def _stats(golden: Any, my: Any, name: str = "float32", options: Options = OPTIONS) -> Stats:
    return _added([(golden, my)], name, options)


def _added(runs: list[tuple[Any, Any]], name: str, options: Options = OPTIONS) -> Stats:
    accumulator = Accumulator(
        DTYPES[name], DTYPES[name], options, Bins.of((sum(golden.size for golden, _ in runs),))
    )
    start = 0
    for golden, my in runs:
        accumulator.add(golden, my, start)
        start += golden.size
    return accumulator.stats()


def _pair(size: int, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    golden = generator.standard_normal(size, np.float32)
    return golden, golden * (1 + np.float32(0.003) * generator.standard_normal(size, np.float32))


@pytest.mark.parametrize("name", [name for name, dtype in DTYPES.items() if dtype.itemsize < 4])
def test_every_pattern_widens_as_torch_does(name: str) -> None:
    size = DTYPES[name].itemsize
    bits = np.arange(1 << (8 * size), dtype=f"u{size}").view(DTYPES[name].storage)
    raw = np.array(bits != 0) if name == "bool" else bits
    values = torch.from_numpy(raw).view(getattr(torch, name)).double().numpy()
    accumulator = Accumulator(DTYPES[name], DTYPES["float64"], OPTIONS, Bins.of((bits.size,)))
    accumulator.add(bits, values, 0)
    stats = accumulator.stats()
    finite = values[np.isfinite(values)]
    assert stats.equal == stats.pairs == finite.size
    assert stats.nonfinite_alike == bits.size - finite.size
    assert (stats.my.minimum, stats.my.maximum) == (finite.min(), finite.max())
    # The same through float32.
    narrow = _stats(bits, bits, name)
    assert (narrow.golden, narrow.my) == (stats.golden, stats.golden)


@pytest.mark.parametrize("name", ["float32", "float16", "float64", "int64"])
def test_alignment_and_permissions_change_nothing(name: str) -> None:
    golden, my = (np.ceil(100 * side).astype(DTYPES[name].storage) for side in _pair(3000))
    moved = []
    for side, offset in ((golden, 1), (my, 3)):
        buffer = np.zeros(side.nbytes + offset, np.uint8)
        buffer[offset:] = side.view(np.uint8)
        buffer.flags.writeable = False
        moved.append(buffer[offset:].view(side.dtype))
    assert _stats(moved[0], moved[1], name) == _stats(golden, my, name)


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
def test_runs_add_up_to_the_whole(name: str) -> None:
    golden, my = (np.ascontiguousarray(side.view(np.uint16)[1::2]) for side in _pair(9 * BLOCK))
    if name != "bfloat16":
        golden, my = (side.astype(DTYPES[name].storage) for side in (golden, my))
    cuts = (slice(0, 2 * BLOCK), slice(2 * BLOCK, 7 * BLOCK), slice(7 * BLOCK, None))
    assert _added([(golden[cut], my[cut]) for cut in cuts], name) == _stats(golden, my, name)


def test_thresholds_and_tolerances_are_decided_in_float64() -> None:
    """Ratios of 1/1000 and 1/200, and differences at the tolerance, in float32 by a hair."""
    golden = np.repeat(np.array([1000, 3000, 200, 7, 0.1, 1e-3, 3e-8, 0], np.float32), 500)
    factors = np.array([1.001, 1.005, 0.999, 0.995, 1 + 1e-3 / 3, 1])
    my = (golden * np.resize(factors, golden.size)).astype(np.float32)
    g, d = golden.astype(np.float64), np.abs(my.astype(np.float64) - golden)
    above = g > OPTIONS.epsilon
    ratios = d[above] / g[above]
    stats = _stats(golden, my)
    assert stats.relative_count == above.sum()
    assert stats.within_thousandth == (ratios < 0.001).sum()
    assert stats.within_five_thousandths == (ratios < 0.005).sum()
    for rtol, atol in ((1e-3, 1e-5), (5e-3, 0.0), (0.0, 0.0), (0.0, 1e-38), (1e-3 / 3, 1e-8)):
        options = Options(OPTIONS.epsilon, rtol, atol)
        assert _stats(golden, my, options=options).mismatched == (d > atol + rtol * g).sum()


def test_the_worst_of_ties_in_float32_is_the_largest_in_float64() -> None:
    golden = np.ones(3 * BLOCK, np.float32)
    my = golden.copy()
    my[[5, BLOCK + 7, 2 * BLOCK]] = 1e8, 1e8, -1e8  # |d| is 99999999 twice, then 100000001
    assert _stats(golden, my).worst_index == 2 * BLOCK
    assert _stats(golden[: 2 * BLOCK], my[: 2 * BLOCK]).worst_index == 5


def test_nonfinite_elements_at_the_edges_of_blocks() -> None:
    golden, my = _pair(3 * BLOCK + 5)
    for place in (0, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 3 * BLOCK + 4):
        golden[place : place + 3 : 2] = (NAN, INF)[: len(golden[place : place + 3 : 2])]
        my[max(place - 1, 0)] = -INF
    both = np.isfinite(golden) & np.isfinite(my)
    alike = ~both & ((golden == my) | (np.isnan(golden) & np.isnan(my)))
    g, m = golden[both].astype(np.float64), my[both].astype(np.float64)
    for name in ("float32", "float64"):
        stats = _stats(golden.astype(name), my.astype(name), name)
        assert (stats.pairs, stats.nonfinite_alike) == (both.sum(), alike.sum())
        assert stats.nonfinite_golden == (~np.isfinite(golden) & np.isfinite(my)).sum()
        assert stats.nonfinite_my == (np.isfinite(golden) & ~np.isfinite(my)).sum()
        assert stats.nonfinite_index == np.flatnonzero(~both & ~alike)[0]
        assert stats.worst_index == np.flatnonzero(both)[np.abs(m - g).argmax()]
        assert stats.products == pytest.approx(g @ m, rel=1e-12)
        assert stats.golden.total == pytest.approx(
            math.fsum(golden[np.isfinite(golden)]), rel=1e-12
        )


def test_a_block_beyond_float32_goes_the_wide_way() -> None:
    golden, my = _pair(4 * BLOCK)
    golden[BLOCK + 1], my[BLOCK + 1] = 3e38, -3e38
    stats = _stats(golden, my)
    assert (stats.pairs, stats.worst_index, stats.difference_max) == (
        4 * BLOCK,
        BLOCK + 1,
        2 * float(golden[BLOCK + 1]),
    )


def test_an_overflowing_kl_divergence_is_infinite() -> None:
    golden, my = np.array([1e308, 0.0]), np.array([-1e308, 1e308])
    assert _stats(golden, my, "float64").softmax.cross == INF


def test_what_is_left_out_stays_empty_and_changes_nothing_else() -> None:
    golden, my = _pair(5000)
    whole = _stats(golden, my)
    some = _stats(golden, my, options=Options(2.0**-23, 1e-3, 1e-5, Parts(slices=True)))
    assert some.softmax == Softmax()
    assert (some.relative_count, some.relative_max, some.above_max) == (0, 0.0, 0.0)
    for name in ("golden", "my", "products", "difference_squares", "worst_index", "mismatched"):
        assert getattr(some, name) == getattr(whole, name)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="3 elements cannot be paired with 4"):
        _stats(np.zeros(3, np.float32), np.zeros(4, np.float32))


def _imports(path: Path) -> set[str]:
    """The names that a module takes from numba and llvmlite, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names}
    return {name for name in found if name.split(".")[0] in ("numba", "llvmlite")}


def test_only_one_module_knows_more_of_numba_than_njit_and_its_types() -> None:
    taken = {path.name: _imports(path) for path in Path(kernel.__file__).parent.rglob("*.py")}
    assert taken.pop("internals.py") == {
        "llvmlite.ir", "numba", "numba.core.cgutils",
        "numba.core.compiler_lock.global_compiler_lock", "numba.core.event",
        "numba.core.registry", "numba.extending.intrinsic",
        "numba.njit", "numba.types",
    }  # fmt: skip
    assert set().union(*taken.values()) == {"numba.njit", "numba.types"}


_ONE_MORE = internals.types.int64(internals.types.int64)


def test_numba_loads_what_is_compiled_and_refuses_where_it_is_told_to_only_load(
    tmp_path: Path,
) -> None:
    """The event `numba:compile`, the target's `refresh`, and the config value CACHE_DIR."""

    def one_more(number: int) -> int:
        return number + 1

    def made() -> Any:
        return internals.njit(_ONE_MORE, cache=True, **EXACT)(one_more)

    before, internals.config.CACHE_DIR = internals.config.CACHE_DIR, str(tmp_path)
    try:
        with pytest.raises(internals.NotCachedError), internals.only_loading():
            made()
        assert made()(1) == 2  # what was left out is there where something is compiled
        with internals.only_loading():
            assert internals.entry_point(made(), _ONE_MORE)(1) == 2
    finally:
        internals.config.CACHE_DIR = before


def test_numba_can_do_without_its_run_time() -> None:
    """The flag `_nrt`: nothing can be allocated then, so no reference is counted."""

    def made(size: int) -> Any:
        return np.empty(size)

    with pytest.raises(TypingError, match="Only accept returning of array"):
        internals.njit("float64[::1](int64)", **EXACT)(made)


def test_the_cache_is_where_nobody_else_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(internals.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled._folder.cache_clear()
    try:
        assert compiled._folder() == tmp_path / "ait_cmp"
        assert (tmp_path / "ait_cmp").stat().st_mode & 0o077 == 0
        for open_one in (tmp_path / "ait_cmp", tmp_path):  # of which the other can be replaced
            before = open_one.stat().st_mode
            open_one.chmod(0o777)
            compiled._folder.cache_clear()
            assert compiled._folder() != tmp_path / "ait_cmp"
            open_one.chmod(before)
        monkeypatch.setattr(internals.config, "CACHE_DIR", str(tmp_path / "a" / "numba"))
        compiled._folder.cache_clear()
        assert compiled._folder() == tmp_path / "a" / "numba"
        assert (tmp_path / "a").stat().st_mode & 0o077 == 0
        (tmp_path / "a" / "numba").chmod(0o770)
        compiled._folder.cache_clear()
        assert compiled._folder() == tmp_path / "ait_cmp"
    finally:
        compiled._folder.cache_clear()


_STATS_OF_NOISE = """
import numpy as np
from ait_cmp.engine import Options, range_stats
from ait_cmp.source import from_array

generator = np.random.default_rng(0)
for name in ("float16", "float32", "float64", "int32"):
    golden, my = (from_array((9 * side).astype(name), "side")
                  for side in generator.standard_normal((2, 70, 300)))
    options = Options(2.0**-23, 1e-3, 1e-5)
    stats = range_stats(golden=golden, my=my, start=0, stop=21000, options=options)
    print(stats.pack().hex(), stats.slices and stats.slices.pack().hex())
"""


@pytest.mark.parametrize(("sketches", "level"), [(True, "WARNING"), (False, "INFO")])
def test_a_model_that_waits_for_the_loops_of_fingerprints_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    sketches: bool,
    level: str,
) -> None:
    monkeypatch.setattr(compiled, "_folder", lambda: tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: None)
    with caplog.at_level("INFO", logger="ait_cmp"):
        compiled._compile_apart(sketches)
    assert [one.levelname for one in caplog.records] == [level]
    assert "compiling" in caplog.text


def test_one_process_compiles_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running: list[int] = []
    together: list[int] = []

    def run(*_: Any, **__: Any) -> None:
        running.append(1)
        time.sleep(0.05)
        together.append(len(running))
        running.pop()

    monkeypatch.setattr(compiled, "_folder", lambda: tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    with ThreadPoolExecutor() as threads:  # each with an open file of its own, as a process has
        for done in [threads.submit(compiled._compile_apart) for _ in range(4)]:
            done.result()
    assert together == [1, 1, 1, 1]


def test_the_process_that_compiles_gives_the_same_bits_as_the_next(tmp_path: Path) -> None:
    """With an empty cache, which takes a minute: no shorter way is known to show it."""
    command = [sys.executable, "-c", _STATS_OF_NOISE]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    answers = [subprocess.check_output(command, env=environment) for _ in range(2)]
    assert answers[0].count(b"\n") == 4
    assert answers[0] == answers[1]
