"""float64 far from 1: verdicts do not depend on the unit that a tensor is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ait_cmp import compare
from ait_cmp.engine.pairwise import measure_request, merged_ranges
from ait_cmp.engine.parts import Parts
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import Location
from tests.changes import Change, changed_at

LARGEST = torch.finfo(torch.float64).max


CHANGES: dict[str, Change] = {
    "none": lambda my: my,
    "rounding": changed_at((slice(0, 8),), lambda my: my.nextafter(torch.zeros_like(my))),
    "zero": torch.zeros_like,
    "sign": lambda my: -my,
    "one sign": changed_at((3, 5), lambda my: my * -20),
    "one channel": changed_at((..., 5), torch.neg),
    "one line": changed_at(7, torch.zeros_like),
    "factor": lambda my: my * 1.1,
    "another": lambda my: my.roll(1, 0),
}


def _golden() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 64, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("exponent", [1000, 664, -664, -1000])
@pytest.mark.parametrize("name", CHANGES)
def test_a_fault_is_found_in_any_unit(name: str, exponent: int, masked: bool) -> None:
    golden = _golden()
    my = CHANGES[name](golden)
    found = []
    for unit in (2.0**exponent, 1.0):
        both = [golden * unit, my * unit]
        if masked:  # alike at the end of the range, as a mask is
            for one in both:
                one[0, :3] = -LARGEST
        found.append(compare(golden=both[0], my=both[1]))
    far, near = found
    assert far.passed is near.passed is (name in ("none", "rounding"))
    assert far.measured.evidence
    assert near.measured.evidence
    for part in ("count", "level", "scale", "offset", "channel", "line"):
        one, two = (getattr(each.measured.evidence, part) for each in found)
        assert one == two or one == pytest.approx(two, rel=1e-3), part
    assert far.measured.evidence.rms == pytest.approx(near.measured.evidence.rms * 2.0**exponent)
    assert far.measured.evidence.peak.index == near.measured.evidence.peak.index


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", [one for one in CHANGES if one not in ("none", "rounding")])
def test_large_and_small_lines_together(name: str, masked: bool) -> None:
    golden = _golden() * torch.tensor([1e200] * 8 + [1e-200] * 8, dtype=torch.float64)[:, None]
    my = CHANGES[name](golden)
    if masked:
        golden[0, :3] = my[0, :3] = LARGEST
    assert compare(golden=golden, my=my).passed is False


@pytest.mark.parametrize("exponent", [1000, 0, -1000])
@pytest.mark.parametrize("name", ["rounding", "zero", "one sign", "one line"])
def test_ranges_of_a_pair_tell_as_the_whole_does(name: str, exponent: int, tmp_path: Path) -> None:
    """A pair of many elements is measured range by range, by several workers."""
    golden = _golden()
    for side, tensor in (("golden", golden), ("my", CHANGES[name](golden))):
        np.save(tmp_path / f"{side}.npy", (tensor * 2.0**exponent).numpy())

    golden_file, my_file = (Location.of(str(tmp_path / f"{side}.npy")) for side in ("golden", "my"))
    request = Request(golden_file, my_file, Wanted(2.0**-23, Parts(slices=True)))
    parts = [measure_request(replace(request, span=span)) for span in ((0, 300), (300, 1024))]
    whole, found = measure_request(request), merged_ranges(request, parts)
    assert found.error is None
    assert found.evidence
    assert whole.evidence
    assert found.evidence.level == pytest.approx(whole.evidence.level, rel=1e-12)
    assert replace(found.evidence, level=whole.evidence.level) == whole.evidence


def test_a_file_that_changed_between_ranges_and_reading_again_is_told(tmp_path: Path) -> None:
    for side in ("golden", "my"):
        np.save(tmp_path / f"{side}.npy", (_golden() * 1e200).numpy())

    golden_file, my_file = (Location.of(str(tmp_path / f"{side}.npy")) for side in ("golden", "my"))
    request = Request(golden_file, my_file, Wanted(2.0**-23, Parts(slices=True)))
    parts = [measure_request(replace(request, span=span)) for span in ((0, 300), (300, 1024))]
    np.save(tmp_path / "my.npy", (_golden() * 2e200).numpy())
    changed = merged_ranges(request, parts)
    assert changed.error is not None
    assert changed.error.reason is Reason.IN_CHANGED


def test_of_the_other_type_too() -> None:
    """float32 of zeros against what float32 cannot hold."""
    golden = _golden() * 1e-200
    assert not compare(golden=golden, my=torch.zeros(16, 64)).passed
    assert not compare(golden=torch.zeros(16, 64), my=golden).passed
