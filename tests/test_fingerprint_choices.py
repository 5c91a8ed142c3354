"""Choices of experts where fingerprints are what is there: kept whole where they are few, and what
follows a flip is compared by the bins of lines without it, or not judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ait_cmp import compare_dumps
from ait_cmp.__main__ import main
from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.fingerprint import make, value
from ait_cmp.fingerprint.make import make_fingerprint
from ait_cmp.fingerprint.value import Fingerprint
from ait_cmp.judging.comparison import Row
from ait_cmp.source import FingerprintSource, from_array
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import parse_steps
from tests.test_choices import Array, Run, saved

BATCH, EACH, HIDDEN, EXPERTS, CHOSEN = 2, 512, 64, 8, 2
TOKENS = BATCH * EACH
IDS, SORTED, OUT = (f"layers.0.{name}" for name in ("b_gate/out1", "c_sorted", "d_out"))


def routed(noise: float = 0.0, **faults: float) -> Run:
    """Two layers that send each token to the two experts of the largest scores; of the first one
    the scores may have a `bias`, of the second one a part of the lines may be off by a `factor`."""
    random, rounding = np.random.default_rng(3), np.random.default_rng(4)
    hidden = random.normal(size=(TOKENS, HIDDEN))
    found: Run = {(0, "a.input_ids"): np.arange(TOKENS).reshape(BATCH, EACH) % 50}
    for layer in range(2):
        gate, experts = random.normal(size=(HIDDEN, EXPERTS)), random.normal(size=(EXPERTS, HIDDEN))
        scores = hidden @ gate / 8
        scores = (scores + noise * rounding.normal(size=scores.shape)).astype(np.float32)
        chosen = scores + (0.0 if layer else faults.get("bias", 0.0)) * np.eye(1, EXPERTS)
        ids = np.argsort(-chosen, axis=-1, kind="stable")[:, :CHOSEN]
        order = np.argsort(ids.reshape(-1), kind="stable")
        sent = hidden[order // CHOSEN] * (1 + noise * rounding.normal(size=(len(order), HIDDEN)))
        hidden = hidden + 3 * experts[ids].sum(1)
        hidden = hidden * (1 + noise * rounding.normal(size=hidden.shape))
        if layer:
            hidden[::2] *= faults.get("factor", 1.0)
        name = f"layers.{layer}"
        found |= {(0, f"{name}.b_gate/out0"): scores, (0, f"{name}.b_gate/out1"): ids}
        found[0, f"{name}.c_sorted"] = sent.astype(np.float32)
        found[0, f"{name}.d_out"] = hidden.reshape(BATCH, EACH, HIDDEN).astype(np.float32)
    return found


def kept(folder: Path, name: str, run: Run) -> Path:
    """The fingerprints of a run."""
    path = folder / f"{name}.fp.safetensors"
    dump = saved(folder / name, run)
    assert main(["fingerprint", f"golden_path={dump}", f"output={path}"]) == 0
    return path


def compared(golden: Path, my: Path) -> dict[str, Row]:
    found = compare_dumps(golden_path=golden, my_path=my, mapping="tree").rows
    return {row.pair.data_id: row for row in found}


def moved(one: Run, two: Run) -> Array:
    """The tokens that the first layer sends elsewhere."""
    return np.flatnonzero((one[0, IDS] != two[0, IDS]).any(1))


@pytest.mark.parametrize("sides", ["both", "golden", "my"])
def test_a_near_tie_is_told_and_what_follows_is_compared_without_its_bins(
    sides: str, tmp_path: Path
) -> None:
    golden, my = routed(), routed(noise=1e-3)
    flipped = moved(golden, my)
    assert 0 < len(flipped) < 10
    paths = [
        kept(tmp_path, name, run) if sides in ("both", name) else saved(tmp_path / name, run)
        for name, run in (("golden", golden), ("my", my))
    ]
    rows = compared(paths[0], paths[1])
    assert rows[IDS].verdict.reason == Reason.NEAR_TIE
    assert {name for name, row in rows.items() if row.verdict.status != "pass"} == {
        name for name in rows if name.endswith("sorted")
    }
    assert rows[SORTED].verdict.reason == Reason.INPUTS_DIFFER
    stats = rows[OUT].comparison.measured.stats
    bins = TOKENS // 16 - len(set((flipped // 16).tolist()))
    assert stats is not None
    assert stats.elements == bins * 16 * HIDDEN
    assert f"{bins * 16} of {TOKENS} lines" in rows[OUT].pair.paired_by
    level = rows[OUT].comparison.metrics["relative_euclidean_distance"]
    assert level is not None
    assert level < 0.01  # with one token of another expert it is more


def test_a_fault_behind_a_near_tie_is_found(tmp_path: Path) -> None:
    paths = kept(tmp_path, "golden", routed()), kept(tmp_path, "my", routed(1e-3, factor=1.2))
    rows = compared(*paths)
    assert [name for name, row in rows.items() if row.verdict.status == "fail"] == [
        "layers.1.d_out"
    ]


def test_experts_by_a_bias_are_no_near_tie(tmp_path: Path) -> None:
    paths = kept(tmp_path, "golden", routed()), kept(tmp_path, "my", routed(bias=0.5))
    assert compared(*paths)[IDS].verdict.status == "fail"


@pytest.mark.parametrize("ids_are_there", [True, False])
def test_what_flips_that_are_not_known_may_have_done_is_not_judged(
    *, ids_are_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "may_be_scores", lambda *_: False)
    if not ids_are_there:
        monkeypatch.setattr(make, "is_narrow", lambda *_: False)
    golden = kept(tmp_path, "golden", routed())
    rows = compared(golden, kept(tmp_path, "my", routed(noise=1e-3)))
    assert rows[IDS].verdict.status == "skipped"
    assert rows[IDS].verdict.reason == Reason.UNJUDGED
    assert rows[SORTED].verdict.status == "skipped"
    assert "fail" not in {row.verdict.status for row in rows.values()}
    if not ids_are_there:
        assert rows[OUT].verdict.reason == Reason.UNJUDGED
        assert f"went to other experts since {rows[IDS].pair.name}" in rows[OUT].verdict.sentence
    beyond = compared(golden, kept(tmp_path, "far", routed(noise=1e-3, factor=4.0)))
    assert beyond["layers.1.d_out"].verdict.status == "fail"


def test_a_choice_that_is_a_fault_excuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "may_be_scores", lambda *_: False)
    monkeypatch.setattr(make, "is_narrow", lambda *_: False)
    golden, my = routed(), routed()
    scores = my[0, "layers.0.b_gate/out0"] = my[0, "layers.0.b_gate/out0"] + np.float32(0.5)
    my[0, IDS] = np.argsort(scores, axis=-1)[:, :CHOSEN]
    my[0, OUT] = my[0, OUT][:, ::-1] * np.float32(0.9)
    rows = compared(kept(tmp_path, "golden", golden), kept(tmp_path, "my", my))
    assert [rows[name].verdict.status for name in (IDS, OUT)] == ["fail", "fail"]


@pytest.mark.parametrize("steps", ["drop(1, 3)", "drop(2, 0:70)", "transpose(0, 1) | drop(1, 5)"])
def test_what_is_dropped_is_in_no_sum(steps: str) -> None:
    random = torch.Generator().manual_seed(0)
    golden = torch.randn(40, 64, 32, generator=random)
    my = golden + 0.01 * torch.randn(golden.shape, generator=random)
    adapters = parse_steps(steps)
    gone = adapt([from_array(np.zeros(golden.shape, np.float32), "it")], adapters)
    places = torch.arange(golden.numel()).reshape(golden.shape).numpy().astype(np.float64)
    left = adapt([from_array(places, "it")], adapters)
    dropped = torch.ones(golden.numel(), dtype=torch.bool)
    dropped[left.read(0, left.elements).astype(np.int64).reshape(-1)] = False
    my.view(-1)[dropped] = 1e3
    sides = [
        adapt([_kept_source(one)], adapters)
        if which
        else adapt([from_array(one.numpy(), "it")], adapters)
        for which, one in ((True, golden), (False, my))
    ]
    found = measure_sources(golden=sides[0], my=sides[1], wanted=Wanted(1e-7))
    assert sides[0].shape == gone.shape
    if "transpose" in steps:  # every bin has an element of each position
        assert found.error is not None
        assert found.error.reason == Reason.NEEDS_TENSORS
        return
    assert found.evidence is not None
    assert found.evidence.level == pytest.approx(0.01, rel=0.1)
    assert found.stats is not None
    assert found.stats.difference_squares / found.stats.golden_squares == pytest.approx(
        1e-4, rel=0.2
    )


def _kept_source(tensor: torch.Tensor) -> FingerprintSource:
    made = make_fingerprint(tensor)
    return FingerprintSource(made.dtype, made.shape, made, "kept", 0)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8", "uint16", "uint64", "bool"])
def test_whole_numbers_are_kept_in_as_few_bits_as_they_need(dtype: str) -> None:
    numbers = torch.randint(0, 60, (5000,)).to(getattr(torch, dtype))
    made = make_fingerprint(numbers)
    packed = made.pack()
    bits = 1 if dtype == "bool" else 6
    assert made.is_whole
    assert len(packed) < 5000 * bits / 8 + 100
    read = Fingerprint.unpack(packed)
    assert read.elements == numbers.numpy().tobytes()
    assert read.pack() == packed
    for harm in (packed[:-40], packed[:40] + bytes([200]) + packed[41:]):
        with pytest.raises(ValueError, match="fingerprint"):
            Fingerprint.unpack(harm)


def test_numbers_of_any_range_come_back() -> None:
    for ends in ((-(2**63), 2**63 - 1), (-5, 3), (2**62, 2**62 + 1), (7, 7)):
        numbers = torch.tensor(ends).repeat(1500)
        read = Fingerprint.unpack(make_fingerprint(numbers).pack())
        assert read.elements == numbers.numpy().tobytes()


def test_what_is_kept_of_choices_has_an_end() -> None:
    assert make_fingerprint(torch.arange(2**15 - 9) % 256).is_whole
    assert not make_fingerprint(torch.arange(2**15) % 256).is_whole
    assert not make_fingerprint(torch.arange(2**17) % 2).is_whole  # of 1 MiB a hundredth is kept
    scores = torch.randn(1024, 8)
    assert make_fingerprint(scores, name="layers.0.mlp.gate/out0").is_whole
    assert not make_fingerprint(scores, name="layers.0.mlp/out0").is_whole
    assert not make_fingerprint(torch.randn(1025, 8), name="router/out0").is_whole
    assert not make_fingerprint(torch.randn(30, 257), name="experts/in0").is_whole


def test_files_of_the_first_version_are_what_they_were() -> None:
    for tensor in (torch.arange(60), torch.randn(300, 130)):
        assert make_fingerprint(tensor).pack()[4] == 1
    assert make_fingerprint(torch.arange(2000)).pack()[4] == 2
    assert value.CHOICES < 1 << 20
