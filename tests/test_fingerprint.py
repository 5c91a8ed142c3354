"""What is kept of a tensor: exact where it says so, without bias where it estimates."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp import write_bin
from ait_cmp.engine import fingerprinting
from ait_cmp.engine.fingerprinting import fingerprint_of, fingerprint_of_tensor
from ait_cmp.fingerprint import signs
from ait_cmp.fingerprint.make import make_fingerprint
from ait_cmp.fingerprint.value import (
    Fingerprint,
    Whole,
    bin_width,
    buckets_of,
    is_small,
    line_and_channel,
)
from ait_cmp.source import from_memory, open_source
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES

# Narrow, wide, one line, three channels, more dims, sizes that no group or tile divides.
SHAPES = [(130, 70), (2, 37, 150), (1, 5000), (5000, 3), (64, 64, 9), (3, 9000), (8300, 2), (4999,)]
FLOATS = [name for name, dtype in DTYPES.items() if dtype.is_floating]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Numbers of a normal distribution."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def binned(values: np.ndarray, axis: int) -> np.ndarray:
    """Sums by bin of lines (0) or of channels (1) of a matrix."""
    sums = values.sum(1 - axis)
    width = bin_width(len(sums))
    padded = np.pad(sums, (0, -len(sums) % width)).reshape(-1, width)
    return np.asarray(padded.sum(1))


def by_definition(values: np.ndarray, buckets: int) -> np.ndarray:
    """The signed sums of the bins of channels, element by element."""
    lines, channels = values.shape
    rows, columns = (np.arange(count, dtype=np.uint64) for count in values.shape)
    bits, width = signs.bit_rows(rows), bin_width(channels)
    sums = np.zeros((-(-channels // width), buckets))
    own, other = signs.turns(rows), signs.kept_buckets(columns)
    kept = signs.kept_signs(columns)
    for line in range(lines):
        for channel in range(channels):
            sign = 1 - 2 * (int(bits[line]) >> channel % 64 & 1)
            bucket = (own[line] ^ other[channel]) % buckets
            sums[channel // width, bucket] += sign * kept[channel] * values[line, channel]
    return sums


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_bins_are_exact_to_float32(shape: tuple[int, ...]) -> None:
    tensor = drawn(*shape)
    made = make_fingerprint(tensor, buckets=2)
    values = tensor.double().numpy().reshape(line_and_channel(shape))
    for number, axis in enumerate((made.lines, made.channels)):
        assert axis is not None
        np.testing.assert_allclose(axis.sums[0], binned(values, number), atol=2e-4)
        np.testing.assert_allclose(axis.sums[1], binned(values**2, number), rtol=1e-6)
    whole = made.whole
    assert (whole.minimum, whole.maximum) == (float(tensor.min()), float(tensor.max()))
    assert whole.total == pytest.approx(values.sum(), abs=1e-3)
    assert whole.squares == pytest.approx((values**2).sum(), rel=1e-6)
    first = np.argsort(-np.abs(values.flatten()), kind="stable")[:16]
    assert made.top_indices.tolist() == first.tolist()
    assert made.top.tolist() == values.flatten()[first].tolist()


@pytest.mark.parametrize("shape", [(130, 70), (33, 200), (20, 300), (70, 65), (220, 300)])
@pytest.mark.parametrize("buckets", [2, 16, 32])
def test_signed_sums_are_those_of_the_definition(shape: tuple[int, int], buckets: int) -> None:
    values = drawn(*shape).double()
    made = make_fingerprint(torch.cat((values, values)), buckets=2 * buckets)
    whole = torch.cat((values, values)).numpy()
    for axis, matrix in ((made.channels, whole), (made.lines, whole.T)):
        assert axis is not None
        np.testing.assert_allclose(axis.signed, by_definition(matrix, buckets), atol=1e-9)


@pytest.mark.parametrize("name", FLOATS)
def test_what_is_packed_is_what_was_made(name: str) -> None:
    tensor = drawn(300, 130).abs().add(1).to(getattr(torch, name))
    made = make_fingerprint(tensor)
    read = Fingerprint.unpack(memoryview(made.pack()))
    assert read.pack() == made.pack()
    assert (read.dtype, read.shape, read.whole) == (DTYPES[name], (300, 130), made.whole)
    assert read.buckets == buckets_of(DTYPES[name], 16)


@pytest.mark.parametrize("cut", [0, 3, 10, 40, 200, -1])
def test_damaged_bytes_are_told(cut: int) -> None:
    packed = make_fingerprint(drawn(200, 100)).pack()
    with pytest.raises(ValueError, match="fingerprint"):
        Fingerprint.unpack(packed[:cut])
    with pytest.raises(ValueError, match="fingerprint"):
        Fingerprint.unpack(packed + b"\0")


def test_a_fingerprint_of_a_megabyte_is_a_hundredth_of_it() -> None:
    # The most bins that an axis can have, and elements that are left out, whose counts are kept.
    for dtype, shape in ((torch.float32, (512, 512)), (torch.bfloat16, (1024, 512))):
        tensor = drawn(*shape).to(dtype)
        tensor[3, 3] = math.nan
        packed = make_fingerprint(tensor).pack()
        assert tensor.nbytes == 1 << 20
        assert len(packed) <= (1 << 20) // 100


def test_small_tensors_are_kept_whole_and_large_ones_never_take_more_than_themselves() -> None:
    kept = make_fingerprint(drawn(32, 32))
    assert kept.is_whole
    assert np.array_equal(np.frombuffer(kept.elements, "<f4"), drawn(32, 32).numpy().flatten())
    for name in ("float32", "bfloat16", "float64", "float8_e5m2"):
        for shape in SHAPES:
            tensor = drawn(*shape).to(getattr(torch, name))
            made = make_fingerprint(tensor)
            assert made.is_whole == is_small(DTYPES[name], shape, 16)
            assert len(made.pack()) <= tensor.nbytes + 300


def test_distances_are_estimated_without_bias() -> None:
    # An error whose size differs from line to line and from channel to channel, and a constant one.
    ratios = []
    for seed in range(20):
        golden = drawn(200, 300, seed=seed)
        error = drawn(200, 1, seed=seed + 50).exp() * drawn(300, seed=seed + 99).exp()
        error = 0.01 * error * drawn(200, 300, seed=seed + 150) + 0.01 * (seed % 2)
        my = golden + error
        one, two = make_fingerprint(golden), make_fingerprint(my)
        squares = ((my - golden).double() ** 2).numpy()
        for number, (a, b) in enumerate(((one.lines, two.lines), (one.channels, two.channels))):
            assert a
            assert b
            ratios += (((b.signed - a.signed) ** 2).sum(1) / binned(squares, number)).tolist()
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)
    assert np.std(ratios) < 1.25 * math.sqrt(2 / 16)


def test_fewer_buckets_are_pairs_of_more() -> None:
    more, fewer = (make_fingerprint(drawn(100, 200), buckets=count) for count in (32, 4))
    assert more.lines
    assert fewer.lines
    folded = more.folded(4).lines
    assert folded
    np.testing.assert_allclose(folded.signed, fewer.lines.signed, atol=1e-4)


def test_what_is_not_finite_is_counted_and_placed_and_in_no_sum() -> None:
    plain = drawn(100, 100)
    plain[3, 5] = plain[7, 8] = plain[9, 9] = plain[10, 1] = 0.0
    spoilt = plain.clone()
    spoilt[3, 5], spoilt[7, 8], spoilt[9, 9] = math.nan, -math.inf, 3.4e38
    made, bare = make_fingerprint(spoilt), make_fingerprint(plain)
    whole = made.whole
    assert (whole.nans, whole.positive, whole.negative) == (1, 0, 1)
    assert (whole.saturated_positive, whole.saturated_negative) == (1, 0)
    assert whole.first == 305
    assert whole.maximum == torch.tensor(3.4e38)
    assert made.lines
    assert bare.lines
    assert int(made.lines.left_out.sum()) == 3
    unit = 2.0**whole.exponent
    np.testing.assert_allclose(made.lines.signed * unit, bare.lines.signed, atol=1e-4)
    moved = spoilt.clone()
    moved[3, 5], moved[10, 1] = 0.0, math.nan
    assert make_fingerprint(moved).whole.places != whole.places
    assert make_fingerprint(spoilt * 1.0).whole.places == whole.places


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e-42])
def test_squares_out_of_reach_are_in_units(size: float) -> None:
    tensor = drawn(100, 100) * size
    made = make_fingerprint(tensor)
    squares = (tensor.double() ** 2).sum().item()
    assert made.whole.squares * 4.0**made.whole.exponent == pytest.approx(squares, rel=1e-5)


def test_types_that_are_not_rounded_have_a_checksum_and_sums() -> None:
    for dtype in (torch.int64, torch.int32, torch.uint16, torch.uint8):
        made = make_fingerprint(torch.arange(70000).remainder(200).to(dtype))
        assert (made.whole.minimum, made.whole.maximum) == (0, 199)
        assert made.whole.total == 99.5 * 70000
        assert made.lines is None
        assert Fingerprint.unpack(made.pack()).pack() == made.pack()
    mask = torch.arange(300000).remainder(2).bool()
    assert make_fingerprint(mask).whole.total == 150000


def test_checksums_tell_every_change_and_nothing_else() -> None:
    base = drawn(3, 40001)  # more than one block, and no whole number of them
    mark = make_fingerprint(base).checksum
    assert make_fingerprint(base.clone()).checksum == mark
    assert make_fingerprint(base.t().contiguous().t()).checksum == mark
    changed = [base.clone() for _ in range(5)]
    changed[0][2, 40000] += 1e-3
    changed[1].neg_()
    changed[2][0, :2] *= -1  # two signs at once
    changed[3][:, :16384] = base.roll(1, 0)[:, :16384]
    changed[4] = base.roll(1, 1)
    assert len({mark, *(make_fingerprint(one).checksum for one in changed)}) == 6


def test_strides_and_offsets_change_nothing() -> None:
    tensor = drawn(120, 90).to(torch.bfloat16)
    wanted = make_fingerprint(tensor).pack()
    padded = torch.zeros(121, 101, dtype=torch.bfloat16)
    padded[1:, 3:93] = tensor
    odd = torch.zeros(120 * 90 + 1, dtype=torch.bfloat16)[1:].view(120, 90)
    odd.copy_(tensor)
    for one in (padded[1:, 3:93], tensor.t().contiguous().t(), odd):
        assert make_fingerprint(one).pack() == wanted


def test_complex_numbers_are_their_parts() -> None:
    tensor = torch.complex(drawn(60, 50), drawn(60, 50, seed=1))
    assert make_fingerprint(tensor).pack() == make_fingerprint(torch.view_as_real(tensor)).pack()


def test_what_has_no_data_is_refused() -> None:
    with pytest.raises(TypeError, match="meta"):
        make_fingerprint(torch.zeros(3, device="meta"))


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_no_bit_of_one_may_change(place: int, bit: int) -> None:
    packed = bytearray(make_fingerprint(drawn(6, 4)).pack())
    packed[place % len(packed)] ^= 1 << bit
    with pytest.raises(ValueError, match=r"the (fingerprint|bytes)"):
        Fingerprint.unpack(packed)


def test_an_unknown_version_says_so() -> None:
    packed = bytearray(make_fingerprint(drawn(4)).pack())
    packed[4] = 9
    with pytest.raises(ValueError, match="version 9"):
        Fingerprint.unpack(packed)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16", "float8_e5m2", "float64"])
@pytest.mark.parametrize("shape", [(130, 70), (5000, 3), (3, 9000), (600, 300)])
def test_compiled_loops_make_what_torch_makes(shape: tuple[int, ...], name: str) -> None:
    tensor = drawn(*shape).to(getattr(torch, name))
    one, two = fingerprint_of_tensor(tensor), make_fingerprint(tensor)
    assert (one.checksum, one.shape, one.elements) == (two.checksum, two.shape, two.elements)
    assert np.array_equal(np.abs(one.top), np.abs(two.top))  # of equal ones any may be kept
    assert (one.whole.minimum, one.whole.maximum) == (two.whole.minimum, two.whole.maximum)
    assert (one.whole.bits, one.whole.gridded) == (two.whole.bits, two.whole.gridded)
    for axis, other in ((one.lines, two.lines), (one.channels, two.channels)):
        if axis and other:
            np.testing.assert_allclose(axis.signed, other.signed, atol=1e-3)
            np.testing.assert_allclose(axis.sums[0], other.sums[0], atol=2e-2)
            np.testing.assert_allclose(axis.sums[1], other.sums[1], rtol=2e-6)


SHORT = {  # tensors whose elements do not use all bits of their type, or are of one sign
    "zeros": torch.zeros(70, 300),
    "negative zeros": -torch.zeros(70, 300),
    "of bfloat16": drawn(100, 150).bfloat16().float(),
    "positive": drawn(33, 500).abs(),
    "negative": -drawn(41, 600).abs() - 1,
    "one element": torch.nn.functional.pad(drawn(1, 1), (7000, 2000)),
    "integers": drawn(64, 64).mul(100).round().half(),
}


@pytest.mark.parametrize("name", SHORT)
def test_extremes_and_bits_are_those_of_torch(name: str) -> None:
    one, two = (make(SHORT[name]).whole for make in (fingerprint_of_tensor, make_fingerprint))
    assert (one.bits, one.gridded) == (two.bits, two.gridded)
    assert (one.minimum, one.maximum) == (two.minimum, two.maximum)


def test_of_equal_elements_the_first_are_kept() -> None:
    signs = drawn(300, 1100).sign()
    made = fingerprint_of_tensor(signs)
    assert made.top_indices.tolist() == list(range(16))
    assert made.top.tolist() == signs.flatten()[:16].tolist()
    signs[150, 7], signs[299, 1099] = 2, -3
    made = fingerprint_of_tensor(signs)
    assert made.top_indices.tolist() == [299 * 1100 + 1099, 150 * 1100 + 7, *range(14)]


def test_threads_change_nothing() -> None:
    before, tensor = torch.get_num_threads(), drawn(5000, 1100)
    packed = set()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        packed.add(fingerprint_of_tensor(tensor).pack())
    torch.set_num_threads(before)
    assert len(packed) == 1


IN_A_CHILD = """
import os, signal, torch
from ait_cmp.engine.fingerprinting import fingerprint_of_tensor
torch.set_num_threads(2)
tensor = torch.arange(3000.0 * 1024).view(3000, 1024)
packed = fingerprint_of_tensor(tensor).pack()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(packed != fingerprint_of_tensor(tensor).pack())
print(os.waitpid(child, 0)[1])
"""


def test_a_process_that_was_forked_has_threads_of_its_own() -> None:
    command = [sys.executable, "-c", IN_A_CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16", "float8_e5m2"])
@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf, -3.4e38, 1e25])
def test_compiled_loops_leave_out_what_torch_does(value: float, name: str) -> None:
    tensor = drawn(700, 1100)
    tensor[150:400, 50::7] = value
    tensor[699, 1099] = value
    tensor = tensor.to(getattr(torch, name))
    one, two = fingerprint_of_tensor(tensor), make_fingerprint(tensor)
    exact = {"total", "squares"}
    for field in fields(Whole):
        found, wanted = getattr(one.whole, field.name), getattr(two.whole, field.name)
        assert found == (pytest.approx(wanted, rel=1e-5) if field.name in exact else wanted)
    assert one.checksum == two.checksum
    assert np.array_equal(np.abs(one.top), np.abs(two.top))  # of equal ones any may be kept
    for axis, other in ((one.lines, two.lines), (one.channels, two.channels)):
        assert axis is not None
        assert other is not None
        assert axis.left_out.tolist() == other.left_out.tolist()
        scale = float(np.abs(other.signed).max()) + 1e-9
        np.testing.assert_allclose(axis.sums, other.sums, rtol=1e-4, atol=1e-4 * scale)
        np.testing.assert_allclose(axis.signed, other.signed, atol=1e-5 * scale)


def test_a_mask_has_the_fingerprint_that_torch_makes() -> None:
    hidden = torch.ones(300, 300).triu(1).bool()
    for least in (-math.inf, torch.finfo(torch.float32).min):
        mask = torch.zeros(1, 1, 300, 300).masked_fill(hidden, least)
        assert fingerprint_of_tensor(mask).pack() == make_fingerprint(mask).pack()


def test_a_source_has_the_fingerprint_of_its_tensor() -> None:
    tensor = drawn(200, 100).to(torch.bfloat16)
    found = fingerprint_of(from_memory(*as_array(tensor, "tensor")))
    assert found.pack() == fingerprint_of_tensor(tensor).pack()


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize("suffix", [".npy", ".bin"])  # aligned, and mostly not
def test_a_file_has_the_fingerprint_of_its_tensor(
    tmp_path: Path, suffix: str, spoilt: bool
) -> None:
    tensor = drawn(200, 101)
    if spoilt:
        tensor[3, 5], tensor[7, 8] = math.nan, -3.4e38
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, tensor.numpy())
    else:
        write_bin(path, tensor)
    wanted = fingerprint_of_tensor(tensor).pack()
    before = path.read_bytes()
    assert fingerprint_of(open_source(str(path))).pack() == wanted
    assert path.read_bytes() == before


def test_the_elements_of_a_file_stay_there(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", drawn(200, 100).numpy())
    source = open_source(str(tmp_path / "x.npy"))
    tensor = fingerprinting._mapped(source)
    assert tensor.data_ptr() == source.read(0, source.elements).ctypes.data


@pytest.mark.parametrize("count", [90, 9000])  # kept whole, and not
def test_any_byte_of_a_bool_but_0_is_true(count: int) -> None:
    bits = (np.arange(count) % 3).astype(np.uint8)
    one, two = (
        fingerprint_of(from_memory(DTYPES["bool"], some)) for some in (bits, np.minimum(bits, 1))
    )
    assert one.pack() == two.pack()
