"""Adapters that are proposed for shapes that differ make them equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp.__main__ import main
from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.mismatch import way_out
from ait_cmp.source import from_array
from ait_cmp.values.fitting import cuts, fits
from ait_cmp.values.location import Step, parse_steps

Shape = tuple[int, ...]
SHAPES = st.lists(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 3, 4, 6]), max_size=5).map(tuple)


def adapted(shape: Shape, steps: Sequence[Step]) -> Shape:
    """The shape that the real adapters make."""
    return adapt([from_array(np.zeros(shape, np.int8), "x")], tuple(steps)).shape


@pytest.mark.parametrize(
    ("golden", "my", "said"),
    [
        # transformers against the flat tokens of vLLM or ATB, and the other way round
        ((1, 7, 16), (7, 16), ["golden: squeeze(0)"]),
        ((7, 16), (1, 7, 16), ["my: squeeze(0)"]),
        ((1, 7, 1, 16), (7, 16), ["golden: squeeze()"]),
        ((2, 7, 16), (14, 16), ["golden: flatten(0, 1)"]),
        ((1, 7, 32), (7, 4, 8), ["golden: squeeze(0) and my: flatten(1, 2)"]),
        # heads before positions, as attention has them
        ((1, 4, 7, 8), (7, 32), ["golden: squeeze(0) | transpose(0, 1) | flatten(1, 2)"]),
        ((7, 32), (4, 7, 8), ["my: transpose(0, 1) | flatten(1, 2)"]),
        ((7, 1, 16), (1, 7, 16), ["golden: transpose(0, 1)"]),
        ((6, 4), (4, 6), ["golden: transpose(0, 1)"]),
        ((2, 3, 4), (4, 2, 3), ["golden: permute(2, 0, 1)"]),
        # a square, of which two orders fit
        ((4, 4, 2), (2, 4, 4), ["golden: transpose(0, 2)", "golden: permute(2, 0, 1)"]),
        ((4, 6), (8, 3), []),
        ((4, 6), (4, 6), []),
        # of no element every order is right
        ((0, 1), (0,), ["golden: squeeze(1)"]),
        ((0, 4), (4, 0), ["golden: transpose(0, 1)"]),
        ((4, 6), (4, 5), []),
    ],
)
def test_the_shortest_adapters_of_each_order(golden: Shape, my: Shape, said: list[str]) -> None:
    assert list(map(str, fits(golden, my))) == said


@given(golden=SHAPES, my=SHAPES)
def test_what_is_proposed_makes_the_shapes_equal(golden: Shape, my: Shape) -> None:
    found = fits(golden, my)
    for one in found:
        assert adapted(golden, one.golden) == adapted(my, one.my)
    assert not found or math.prod(golden) == math.prod(my)
    assert len({str(one) for one in found}) == len(found)


@given(data=st.data(), shape=SHAPES)
def test_a_shape_that_was_changed_once_is_found(data: st.DataObject, shape: Shape) -> None:
    """Whatever was done to it: the proposal is never longer than that."""
    done = [f"flatten({a}, {b})" for a, b in itertools.combinations(range(len(shape)), 2)]
    done += [f"transpose({a}, {b})" for a, b in itertools.combinations(range(len(shape)), 2)]
    done += [f"squeeze({at})" for at, size in enumerate(shape) if size == 1]
    if not done:
        return
    text = data.draw(st.sampled_from(done))
    changed = adapted(shape, parse_steps(text))
    for golden, my in ((shape, changed), (changed, shape)):
        found = fits(golden, my)
        assert golden == my or found
        assert all(len(one.golden) + len(one.my) == 1 for one in found if "flatten" not in text)


@pytest.mark.parametrize(
    ("golden", "my", "said"),
    [
        # one prompt of a batch, alone; the same where the batch is padded
        ((4, 7, 16), (1, 7, 16), ["golden: select(0, N) and my: squeeze(0)"]),
        ((4, 7, 16), (7, 16), ["golden: select(0, N)"]),
        (
            (4, 9, 16),
            (1, 7, 16),
            [
                f"golden: {kept} and my: squeeze(0)"
                for kept in ("unpad(MASK_DATA_ID, N)", "slice(N, 2:)", "slice(N, 0:7)")
            ],
        ),
        # a padded batch against flat tokens, and a server that pads one prompt
        ((2, 9, 16), (13, 16), ["golden: unpad(MASK_DATA_ID)"]),
        ((1, 9, 16), (7, 16), ["golden: slice(0, 2:)", "golden: slice(0, 0:7)"]),
        ((7, 16), (1, 8, 16), ["my: slice(0, 1:)", "my: slice(0, 0:7)"]),
        ((1, 9, 16), (1, 7, 16), ["golden: slice(:, 2:)", "golden: slice(:, 0:7)"]),
        # a padded vocabulary
        ((1, 5, 100), (1, 5, 128), ["my: slice(:, :, 0:100)"]),
        ((5, 100), (7, 64), []),
        ((0, 4), (3, 4), []),
    ],
)
def test_cuts_of_the_larger_side(golden: Shape, my: Shape, said: list[str]) -> None:
    assert [str(one.fit) for one in cuts(golden, my)][: len(said) or 1] == said


@given(golden=SHAPES, my=SHAPES)
def test_cuts_make_the_shapes_equal(golden: Shape, my: Shape) -> None:
    for one in cuts(golden, my):
        sides = [
            [
                Step(step.name, tuple(word.replace("N", "0") for word in step.arguments))
                for step in side
            ]
            for side in (one.fit.golden, one.fit.my)
        ]
        if not any(step.name == "unpad" for side in sides for step in side):
            assert adapted(golden, sides[0]) == adapted(my, sides[1])
        assert math.prod(golden) != math.prod(my)


def test_the_sentence_names_the_adapter_and_how_to_write_it() -> None:
    assert way_out((1, 7, 16), (7, 16)) == (
        "; golden: squeeze(0) would make them equal: write "
        "\"mapping.golden_adapters='squeeze(0)'\" on the command line for every pair, "
        "golden_adapters: squeeze(0) in a rule or a list for some"
    )
    assert "permute(2, 0, 1) would make them equal (look which is meant)" in way_out(
        (4, 4, 2), (2, 4, 4)
    )
    assert "as many elements, but in an order that cannot be told" in way_out((4, 6), (8, 3))
    assert way_out((5, 3), (7, 4)).endswith("map the tensor, or the round, that corresponds")
    assert "round (rounds=+1) that corresponds, or cut: my: slice(:, 11:)" in way_out(
        (1, 5, 64), (1, 16, 64)
    )


def test_what_the_sentence_says_is_understood(tmp_path: Path) -> None:
    for side, shape in (("hf", (1, 7, 16)), ("vllm", (7, 16))):
        (tmp_path / side).mkdir()
        torch.save(torch.arange(112.0).reshape(shape), tmp_path / side / "layers.0.pt")
    paths = [f"golden_path={tmp_path / 'hf'}", f"my_path={tmp_path / 'vllm'}"]
    output = f"output={tmp_path / 'out'}"
    assert main([*paths, output]) == 3
    (said,) = pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")["cmp_fail_reason"]
    written = said.partition('write "')[2].partition('"')[0]
    assert main([*paths, output, written]) == 0
