"""A look in detail, against plain NumPy over the whole tensors at once."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp.engine import detail
from ait_cmp.engine.detail import Detail, look_in_detail
from ait_cmp.source import from_array

NAN, INF = float("nan"), float("inf")


def _look(golden: np.ndarray, my: np.ndarray) -> Detail:
    return look_in_detail(golden=from_array(golden, "golden"), my=from_array(my, "my"))


def _pair(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    golden = random.normal(size=shape).astype(np.float32)
    noise = random.normal(size=shape).astype(np.float32) * np.float32(1e-3)
    return golden, np.where(random.random(shape) < 0.5, golden, golden + noise)


def _binned(size: np.ndarray, axis: int, width: int) -> list[np.ndarray]:
    """What falls into each bin of a dimension."""
    lines = np.moveaxis(size, axis, 0)
    return [lines[start : start + width] for start in range(0, len(lines), width)]


def _check(golden: np.ndarray, my: np.ndarray, found: Detail) -> None:
    """Every number of a look against NumPy's of the whole."""
    size = np.abs(my.astype(np.float64) - golden.astype(np.float64))
    assert (found.elements, found.read) == (size.size, size.size)
    assert found.equal == np.count_nonzero(size == 0)
    assert sum(map(sum, found.histogram)) == np.count_nonzero(size)
    assert sum(found.histogram[0]) == np.count_nonzero(my > golden)
    for place, count in enumerate(np.add(*map(np.array, found.histogram))):
        power, half = divmod(found.first + place, 2)
        low, high = (2.0**power * one for one in ((1.5, 2.0) if half else (1.0, 1.5)))
        assert count == np.count_nonzero((size >= low) & (size < high))
    shaped = size.reshape(size.shape or (1,))
    for axis, one in enumerate(found.axes):
        parts = _binned(shaped, axis, one.width)
        assert one.size == shaped.shape[axis]
        rms = [math.sqrt(np.square(part).mean()) for part in parts]
        assert np.allclose(one.rms, rms, rtol=1e-3)
        assert np.allclose(one.largest, [part.max() for part in parts], rtol=1e-3)
    _check_image(shaped, found)
    worst = np.sort(size.reshape(-1))[::-1][: detail.WORST]
    told = [size.reshape(-1)[element.index] for element in found.worst]
    assert told == [one for one in worst if one > 0]
    for element in found.worst:
        assert float(element.golden) == golden.reshape(-1)[element.index]
        assert float(element.my) == my.reshape(-1)[element.index]


def _check_image(size: np.ndarray, found: Detail) -> None:
    height, width = found.image_size
    image = np.frombuffer(found.image, np.uint8).reshape(height, width)
    planes = size.reshape(-1, *(size.shape[-2:] if size.ndim > 1 else (1, size.shape[-1])))
    rows, columns = found.image_width
    for row in range(height):
        for column in range(width):
            here = (
                slice(row * rows, (row + 1) * rows),
                slice(column * columns, (column + 1) * columns),
            )
            most = float(planes[(slice(None), *here)].max())
            if most == 0:
                assert image[row, column] == 0
                continue
            spread = math.log(found.image_high / found.image_low) or 1.0
            code = 1 + math.log(most / found.image_low) / spread * 253
            assert abs(image[row, column] - code) <= 1


@pytest.mark.parametrize(
    "shape", [(), (7,), (5, 3), (2, 3, 4, 5), (3, 300), (300, 7), (1, 1), (600, 513), (2, 70_000)]
)
def test_it_says_what_numpy_says(shape: tuple[int, ...]) -> None:
    golden, my = _pair(shape)
    _check(golden, my, _look(golden, my))


@settings(max_examples=60)
@given(st.lists(st.integers(1, 6), max_size=4), st.sampled_from([1, 4, 7, 64]), st.integers(0, 99))
def test_it_says_the_same_whatever_is_read_at_once(shape: list[int], block: int, seed: int) -> None:
    golden, my = _pair(tuple(shape), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detail, "_BLOCK", block)
        _check(golden, my, _look(golden, my))


def test_a_wrong_head_is_seen_where_it_is() -> None:
    golden, my = _pair((8, 4, 64))
    my[:, 2] *= -1
    found = _look(golden, my)
    rms = found.axes[1].rms
    assert rms[2] > 100 * max(rms[0], rms[1], rms[3])
    image = np.frombuffer(found.image, np.uint8).reshape(found.image_size)
    assert image[2].mean() > image[[0, 1, 3]].max()


def test_what_is_not_finite_is_counted_and_stands_first() -> None:
    golden = np.array([[1.0, NAN, INF, 2.0], [INF, 0.0, 1.0, 1.0]])
    my = np.array([[1.0, NAN, INF, NAN], [-INF, 0.0, 5.0, 1.0]])
    found = _look(golden, my)
    assert (found.equal, found.nonfinite) == (3, 2)
    assert [one.index for one in found.worst] == [3, 4, 6]
    image = np.frombuffer(found.image, np.uint8).reshape(2, 4)
    assert image.tolist() == [[0, 0, 0, 255], [255, 0, 1, 0]]


def test_integers_and_numbers_at_the_ends_of_their_range() -> None:
    found = _look(np.array([2**62, 5]), np.array([2**62 + 4096, 5]))
    assert found.worst[0].golden == str(2**62)
    found = _look(np.array([1e308, 1e-310]), np.array([-1e308, 0.0]))
    assert sum(map(sum, found.histogram)) == 2
    assert [one.index for one in found.worst] == [0, 1]


def test_outliers_do_not_press_all_others_into_one_bin() -> None:
    golden, my = _pair((100, 100))
    golden[0, 0] = my[0, 0] = 4000.0
    counts = np.frombuffer(_look(golden, my).scatter, np.uint8).reshape(64, 64)
    assert np.count_nonzero(counts.any(axis=1)) > 20


def test_of_a_large_pair_only_a_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail, "_BLOCK", 100)
    monkeypatch.setattr(detail, "MOST", 2000)
    for shape in ((1000, 10), (2, 5000)):
        golden, my = _pair(shape)
        found = _look(golden, my)
        assert found.elements == 10_000
        assert 1000 <= found.read <= 2000


def test_it_is_packed_and_unpacked() -> None:
    found = _look(*_pair((3, 4, 5)))
    assert Detail.unpacked(json.loads(json.dumps(found.packed()))) == found
