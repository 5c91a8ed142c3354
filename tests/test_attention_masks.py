"""A mask that is added to scores against one of True and False: the same where both mean it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp import compare, compare_dumps, dump_modules

TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def _status(golden: torch.Tensor, my: torch.Tensor) -> str:
    return str(compare(golden=golden, my=my, tolerance="dtype").verdict.status)


def _added(seen: torch.Tensor, dtype: torch.dtype, least: float | None = None) -> torch.Tensor:
    least = torch.finfo(dtype).min if least is None else least
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, least)


@given(st.data(), st.sampled_from(TYPES), st.booleans(), st.sampled_from([None, -1e4]))
def test_they_agree_where_the_same_positions_are_seen(
    data: st.DataObject, dtype: torch.dtype, is_golden: bool, least: float | None
) -> None:
    count = data.draw(st.integers(2, 40))
    bits = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    bits[data.draw(st.integers(0, count - 1))] = False  # a mask hides something
    seen = torch.tensor(bits)
    added = _added(seen, dtype, least)
    sides = (added, seen) if is_golden else (seen, added)
    assert _status(*sides) == "pass"
    other = seen.clone()
    at = data.draw(st.integers(0, count - 1))
    other[at] = ~other[at]
    assert _status(*((added, other) if is_golden else (other, added))) == "fail"
    moved = seen.roll(1)
    expected = "pass" if moved.equal(seen) else "fail"
    assert _status(*((added, moved) if is_golden else (moved, added))) == expected


@pytest.mark.parametrize(
    ("kept", "hidden", "told"),
    [
        ("golden", 0, ("skipped", "UNJUDGED")),
        ("both", 0, ("skipped", "UNJUDGED")),
        ("my", 0, ("pass", None)),  # as few bits are kept whole
        ("both", 1, ("fail", "TOLERANCE")),
    ],
)
def test_fingerprints_tell_of_large_ones_how_many_are_hidden(
    kept: str, hidden: int, told: tuple[str, str | None], tmp_path: Path
) -> None:
    seen = torch.ones(2, 1, 64, 64, dtype=torch.bool).tril()
    added, seen[0, 0, -1, :hidden] = _added(seen, torch.float32), False
    paths = []
    for side, mask in (("golden", added), ("my", seen)):
        is_kept = kept in (side, "both")
        paths.append(tmp_path / (f"{side}.fp.safetensors" if is_kept else side))
        with dump_modules(model := torch.nn.Identity(), paths[-1], fingerprint=is_kept):
            model(mask)
    for row in compare_dumps(golden_path=paths[0], my_path=paths[1]).rows:
        assert (str(row.verdict.status), row.verdict.reason) == told, row.verdict.sentence


@pytest.mark.parametrize("value", [-1.0, -5e3, 1.0, 1e4])
def test_what_has_a_third_value_is_no_such_mask(value: float) -> None:
    seen = torch.tensor([True, False, True, False, False])
    added = _added(seen, torch.float32, -1e4)
    added[3] = value
    assert _status(added, seen) == "fail"


@pytest.mark.parametrize("is_golden", [True, False])
@pytest.mark.parametrize(
    ("name", "seen", "status"),
    [
        ("layers.0.self_attn.in.attention_mask", [True, True, True], "pass"),
        ("layers.0.self_attn.in.attention_mask", [True, False, True], "fail"),
        ("layers.0.self_attn.in.attention_mask", [False, False, False], "fail"),  # turned round
        (
            "layers.0.mlp.experts",
            [True, True, True],
            "fail",
        ),  # zeros that are not said to be a mask
        ("layers.0.mlp.experts", [False, False, False], "pass"),
    ],
)
def test_a_mask_that_hides_nothing_is_told_by_its_name(
    tmp_path: Path, name: str, seen: list[bool], status: str, is_golden: bool
) -> None:
    sides = torch.zeros(1, 3), torch.tensor([seen])
    for side, tensor in zip(("golden", "my"), sides if is_golden else sides[::-1], strict=True):
        (tmp_path / side / "1").mkdir(parents=True)
        torch.save(tensor, tmp_path / side / "1" / f"{name}.pt")
    result = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert [row.verdict.status for row in result.rows] == [status]
