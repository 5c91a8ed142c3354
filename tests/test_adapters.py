"""Adapters and joined shards read, range by range, what NumPy makes of the whole tensors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp import write_bin
from ait_cmp.engine.adapters import (
    JOINERS,
    SELECTORS,
    SHAPES,
    VIEWS,
    adapt,
    open_files,
    open_location,
)
from ait_cmp.engine.pairwise import measure_request
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.source import Array, Source, from_array, open_source
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import NAMES, Location, Step, parse_steps
from tests.test_atb import nz_file

Whole = npt.NDArray[Any]


def numpy_step(array: Whole, text: str) -> Whole:
    """The reference: the same words, understood by NumPy."""
    name, _, inner = text.rstrip(")").partition("(")
    if name == "slice":
        view: Whole = eval(f"array[{inner}]", {"array": array})
        return view
    arguments = tuple(int(part) for part in inner.split(",") if part.strip())
    match name:
        case "transpose":
            return array.swapaxes(*arguments)
        case "permute":
            return array.transpose(arguments)
        case "reshape":
            return array.reshape(arguments)
        case "flatten":
            return array.reshape(torch.empty(array.shape, device="meta").flatten(*arguments).shape)
        case "unflatten":
            axis = arguments[0] % array.ndim
            return array.reshape(*array.shape[:axis], *arguments[1:], *array.shape[axis + 1 :])
        case "regroup":
            axis, groups, *sizes = arguments
            cuts = np.split(array, np.cumsum(sizes)[:-1], axis)
            grouped = [
                part
                for cut in zip(*(np.split(one, groups, axis) for one in cuts), strict=True)
                for part in cut
            ]
            return np.concatenate(grouped, axis)
        case "view_complex":
            half = array.shape[-1] // 2
            return array.reshape(*array.shape[:-1], half, 2) if half > 1 else array
        case "unsqueeze":
            return np.expand_dims(array, arguments)
        case "select":
            return np.asarray(array.take(arguments[1], arguments[0]))
        case _:
            return array.squeeze(arguments or None)


@st.composite
def steps_within(draw: st.DrawFn, kind: str, at: int, shape: tuple[int, ...]) -> str:
    """An adapter that parts dimension `at` of `shape`, whose size can be parted so."""
    sizes = [n for n in range(1, shape[at] + 1) if not shape[at] % n]
    if kind == "unflatten":
        return f"unflatten({at}, {draw(st.sampled_from(sizes))}, -1)"
    groups = draw(st.sampled_from(sizes[:-1]))
    first = draw(st.integers(1, shape[at] // groups - 1))
    rest = shape[at] // groups - first
    return f"regroup({at}, {groups}, {groups * first}, {groups * rest})"


@st.composite
def steps_for(draw: st.DrawFn, shape: tuple[int, ...]) -> str:
    """An adapter that fits `shape`."""
    dims = len(shape)
    kinds = ["reshape", "squeeze", "unsqueeze", "flatten"]
    kinds += ["transpose", "permute", "slice"] if dims else []
    kinds += ["unflatten"] if dims and min(shape) else []
    kinds += ["regroup"] if dims and min(shape) > 1 else []
    kinds += ["select"] if dims and min(shape) else []
    kinds += ["view_complex"] if dims and shape[-1] % 2 == 0 and shape[-1] else []
    kind = draw(st.sampled_from(kinds))
    axis = st.integers(-dims, dims - 1)
    match kind:
        case "transpose":
            return f"transpose({draw(axis)}, {draw(axis)})"
        case "permute":
            return f"permute({', '.join(map(str, draw(st.permutations(range(dims)))))})"
        case "squeeze" | "view_complex":
            return f"{kind}()"
        case "unsqueeze":
            return f"unsqueeze({draw(st.integers(-dims - 1, dims))})"
        case "flatten":
            first = draw(st.integers(0, max(dims - 1, 0)))
            last = draw(st.integers(first, max(dims - 1, 0)))
            some = [f"flatten({first})", f"flatten({first - dims}, {last})"] if dims else []
            return draw(st.sampled_from(["flatten()", *some]))
        case "unflatten" | "regroup":
            return draw(steps_within(kind, draw(axis), shape))
        case "select":
            at = draw(axis)
            return f"select({at}, {draw(st.integers(-shape[at], shape[at] - 1))})"
        case "slice":
            parts = []
            for size in shape[: draw(st.integers(1, dims))]:
                low = draw(st.integers(0, size))
                high = draw(st.integers(low, size))
                whole = f"{low}:{high}:{draw(st.integers(1, 3))}"
                single = [str(low)] if low < size else []
                parts.append(draw(st.sampled_from([":", f"{low}:", whole, *single])))
            return f"slice({', '.join(parts)})"
        case _:
            count = math.prod(shape)
            first = draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0] or [1]))
            second = -1 if count else 0  # what -1 is of nothing cannot be told
            return f"reshape({first}, {second})"


def check(source: Source, whole: Whole, data: st.DataObject) -> None:
    """Shape, and some ranges bit for bit."""
    assert source.shape == whole.shape
    flat = whole.reshape(-1)
    for _ in range(4):
        start = data.draw(st.integers(0, flat.size))
        stop = data.draw(st.integers(start, flat.size))
        part = source.read(start, stop)
        assert part.ndim == 1
        assert part.tobytes() == flat[start:stop].tobytes()


@given(data=st.data(), shape=st.lists(st.integers(0, 5), max_size=4))
def test_views_of_arrays_and_of_sources_that_only_read(
    data: st.DataObject, shape: list[int]
) -> None:
    whole: Whole = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    plain = from_array(whole, "x")
    joined = adapt([plain, plain], parse_steps("concat(0)")) if shape else plain
    # A joined tensor has no memory of its own: its views are read through it.
    sources, wholes = [plain, joined], [whole, np.concatenate([whole] * 2) if shape else whole]
    for source, expected in zip(sources, wholes, strict=True):
        for _ in range(data.draw(st.integers(1, 3))):
            text = data.draw(steps_for(expected.shape))
            source, expected = adapt([source], parse_steps(text)), numpy_step(expected, text)
        check(source, expected, data)


@given(
    data=st.data(),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    widths=st.lists(st.integers(0, 4), min_size=1, max_size=4),
)
def test_shards_are_concatenated(data: st.DataObject, shape: list[int], widths: list[int]) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    shards: list[Whole] = []
    for number, width in enumerate(widths):
        sizes = list(shape)
        sizes[axis] = width
        shards.append(np.arange(math.prod(sizes), dtype=np.int64).reshape(sizes) + 1000 * number)
    source = adapt([from_array(one, "x") for one in shards], parse_steps(f"concat({axis})"))
    check(source, np.concatenate(shards, axis), data)


SUMMED = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


@pytest.mark.parametrize("dtype", SUMMED)
def test_a_sum_is_rounded_once_to_the_type_of_its_shards(dtype: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    torch_dtype = getattr(torch, dtype)
    shards = [(torch.randn(5, 7, generator=generator) * 20).to(torch_dtype) for _ in range(3)]
    for number, shard in enumerate(shards):
        torch.save(shard, tmp_path / f"{number}.pt")
    files = tuple(str(tmp_path / f"{number}.pt") for number in range(3))
    source = open_location(Location(files, parse_steps("sum()")))
    expected = torch.stack([shard.double() for shard in shards]).sum(0).to(torch_dtype)
    assert source.dtype.name == dtype
    assert (
        source.read(3, 30).tobytes()
        == expected.view(torch.uint8)
        .numpy()
        .tobytes()[3 * expected.itemsize : 30 * expected.itemsize]
    )


def test_a_sum_of_integers_does_not_wrap_and_one_that_overflows_is_infinite() -> None:
    large = np.full(3, 2**31 - 1, np.int32)
    total = adapt([from_array(large, "x")] * 2, parse_steps("sum()"))
    assert total.dtype.name == "int64"
    assert total.read(0, 3).tolist() == [2**32 - 2] * 3
    halves = adapt([from_array(np.full(2, 6e4, np.float16), "x")] * 2, parse_steps("sum()"))
    assert halves.read(0, 2).tolist() == [math.inf] * 2


# -- what a mask keeps


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    batch=st.integers(1, 3),
    length=st.integers(1, 5),
    past=st.integers(0, 3),
    rest=st.lists(st.integers(0, 3), max_size=2),
    kind=st.sampled_from(["<i8", "?", "<f4"]),
)
def test_a_mask_keeps_the_positions_where_it_is_1(
    data: st.DataObject,
    batch: int,
    length: int,
    past: int,
    rest: list[int],
    kind: str,
    tmp_path: Path,
) -> None:
    """Whatever the padding; with a cache the mask is for all positions, the tensor for the last."""
    bits = data.draw(st.lists(st.integers(0, 1), min_size=batch * (past + length)))
    mask = np.array(bits[: batch * (past + length)]).reshape(batch, past + length)
    np.save(tmp_path / "mask.npy", mask.astype(kind))
    whole: Whole = np.arange(batch * length * math.prod(rest)).reshape(batch, length, *rest)
    expected = whole[mask[:, past:] == 1]
    steps = parse_steps(f"unpad({tmp_path / 'mask.npy'})")
    check(adapt([from_array(whole, "x")], steps), expected, data)
    number = data.draw(st.integers(0, batch - 1))
    alone = parse_steps(f"unpad({tmp_path / 'mask.npy'}, {number})")
    check(adapt([from_array(whole, "x")], alone), whole[number][mask[number, past:] == 1], data)
    flat = whole.reshape(batch * length, *rest)
    if not past and length > 1:  # routers of experts see batch and sequence as one dimension
        check(adapt([from_array(flat, "x")], steps), expected, data)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((2, 3)), "the first dimensions are not those of the mask, \\[2, 3\\]"),
        (np.ones((4, 6, 1)), "are not those of the mask"),
        (np.array(1), "are not those of the mask"),
        (np.full((4, 6), -np.inf), "holds other values than 0 and 1"),
        (None, "mask.npy does not exist"),
    ],
)
def test_masks_that_do_not_fit(mask: Whole | None, words: str, tmp_path: Path) -> None:
    if mask is not None:
        np.save(tmp_path / "mask.npy", mask)
    steps = parse_steps(f"unpad({tmp_path / 'mask.npy'})")
    with pytest.raises(PairError, match=words) as caught:
        adapt([from_array(np.zeros((4, 6)), "x")], steps)
    assert caught.value.reason is Reason.ADAPTER_MISMATCH


@pytest.mark.parametrize("mask", [np.ones((4, 6)), np.ones(4)])
def test_a_sequence_that_the_mask_does_not_have(mask: Whole, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", mask)
    steps = parse_steps(f"unpad({tmp_path / 'mask.npy'}, 4)")
    with pytest.raises(PairError, match="has no sequence 4"):
        adapt([from_array(np.zeros((4, 6)), "x")], steps)


def test_a_pair_depends_on_its_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([[0, 1]]))
    np.save(tmp_path / "g.npy", np.zeros((1, 2, 3)))
    np.save(tmp_path / "y.npy", np.zeros((1, 3)))
    golden = Location.of(str(tmp_path / "g.npy")).then(parse_steps(f"unpad({tmp_path / 'm.npy'})"))
    my = Location.of(str(tmp_path / "y.npy"))
    measured = measure_request(Request(golden, my, Wanted(2.0**-23)))
    assert [Path(state.path).name for state in measured.files] == ["g.npy", "m.npy", "y.npy"]


def test_adapters_before_a_join_are_for_every_shard() -> None:
    whole = np.arange(24.0).reshape(4, 6)
    shards = [from_array(whole[:, :2], "x"), from_array(whole[:, 2:], "x")]
    source = adapt(shards, parse_steps("transpose(0, 1) | concat(0) | slice(1:5)"))
    assert source.read(0, 16).tolist() == whole.T[1:5].reshape(-1).tolist()


def test_views_of_blocked_matrices_and_of_files_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "nz.bin"
    stored = nz_file(path, (2, 1, 16, 16))
    logical = stored.transpose(1, 2, 0, 3).reshape(16, 32)
    np.save(tmp_path / "plain.npy", logical)
    steps = parse_steps("slice(0:10, 3:30) | transpose(0, 1)")
    for file in (path, tmp_path / "plain.npy"):
        for mapped in (True, False):
            source = adapt(open_files(Location.of(str(file)), mapped), steps)
            assert source.read(5, 200).tolist() == logical[:10, 3:30].T.reshape(-1)[5:200].tolist()


def test_no_more_is_read_than_a_range_needs() -> None:
    """A tensor of 40 GB, of which there is no memory: only its first shard's rows are touched."""
    huge: Array = np.broadcast_to(np.float32(1), (100_000, 50_000))
    shards = [from_array(huge, "x")] * 2
    for steps in (
        "concat(1)",
        "concat(0) | transpose(0, 1)",
        "sum()",
        "transpose(0, 1) | concat(0)",
    ):
        source = adapt(shards, parse_steps(steps))
        middle = source.elements // 2
        assert source.read(middle, middle + 1000).size == 1000


# -- what does not fit


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("permute(0, 1, 2)", "axes"),
        ("transpose(0, 5)", "axis"),
        ("reshape(5, -1)", "24 elements cannot be"),
        ("reshape(-1, -1)", "24 elements cannot be"),
        ("slice(0:5)", "a dimension of 4 has no 0:5"),
        ("slice(3:1)", "a dimension of 4 has no 3:1"),
        ("slice(9)", "out of bounds"),
        ("slice(:, :, :)", "3 indices for 2 dimensions"),
        ("flatten(1, 0)", "dimension 1 comes after dimension 0"),
        ("flatten(0, 2)", "there is no dimension 2"),
        ("unflatten(2, 2, -1)", "there is no dimension 2"),
        ("unflatten(0, 3, -1)", "4 elements cannot be"),
        ("regroup(0, 2, 2, 4)", "are not those of a dimension of 4"),
        ("regroup(0, 2, 3, 1)", "are not 2 groups each"),
        ("regroup(2, 2, 2, 2)", "there is no dimension 2"),
        ("select(2, 0)", "there is no dimension 2"),
        ("select(0, 4)", "out of bounds"),
        ("unsqueeze(4)", "axis 4 is out of bounds"),
        ("slice(:, 0:3) | view_complex()", "no pairs of a real and an imaginary part"),
        ("squeeze(0)", "size not equal to one"),
        ("concat(7)", "no dimension 7"),
    ],
)
def test_what_does_not_fit_is_an_error_row_with_both_shapes(
    steps: str, words: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "g.npy", np.zeros((6, 4)))
    np.save(tmp_path / "m.npy", np.zeros((4, 6)))
    my = Location.of(str(tmp_path / "m.npy")).then(parse_steps(steps))
    measured = measure_request(Request(Location.of(str(tmp_path / "g.npy")), my, Wanted(2.0**-23)))
    assert measured.error is not None
    assert measured.error.reason is Reason.ADAPTER_MISMATCH
    assert str(my.steps[-1]) in str(measured.error)
    assert words in str(measured.error)
    assert "golden is stored as [6, 4], my as [4, 6]" in str(measured.error)
    assert [side and side.shape for side in (measured.golden, measured.my)] == [(6, 4), (4, 6)]


@pytest.mark.parametrize(
    ("shards", "steps", "words"),
    [
        ([np.zeros((2, 3)), np.zeros((2, 4))], "concat(0)", "equal but for dimension 0"),
        ([np.zeros((2, 3)), np.zeros(3)], "concat(0)", "equal but for dimension 0"),
        ([np.zeros(3), np.zeros(3, np.float32)], "concat(0)", "types must be equal"),
        ([np.zeros(3), np.zeros(4)], "sum()", "shapes must be equal"),
        ([np.zeros(3, np.int64)] * 2, "sum()", "may not fit"),
        ([np.zeros(3, bool)] * 2, "sum()", "may not fit"),
    ],
)
def test_shards_that_do_not_fit(shards: list[Whole], steps: str, words: str) -> None:
    with pytest.raises(PairError, match=words) as caught:
        adapt([from_array(one, "x") for one in shards], parse_steps(steps))
    assert caught.value.reason is Reason.ADAPTER_MISMATCH


# -- the text


@pytest.mark.parametrize(
    "text",
    [
        *("permute(0, 2, 1)", "slice(0, :, 2:8, ::2, -3:) | squeeze()", "sum() | reshape(-1)", ""),
        *("unpad(model/a b,c) | select(0, 3)", 'unpad("a|b") | unpad("a(1)") | view_complex()'),
    ],
)
def test_adapters_print_as_they_are_read(text: str) -> None:
    assert " | ".join(map(str, parse_steps(text))) == text


@given(st.text(min_size=1) | st.sampled_from(["a,1", "a , 2", "b"]), st.sampled_from(["", "3"]))
def test_a_name_is_read_as_it_is_printed(name: str, number: str) -> None:
    step = Step("unpad", (name, number) if number else (name,))
    assert parse_steps(f"{step} | squeeze(0)") == (step, Step("squeeze", ("0",)))


def test_a_location_prints_its_files_and_adapters() -> None:
    location = Location(("a.bin", "b.bin"), parse_steps("transpose(0,1)|concat(0)"))
    assert str(location) == "a.bin + b.bin | transpose(0, 1) | concat(0)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flip(0)", "'flip\\(0\\)' is no adapter; choose from"),
        ("transpose 0 1", "is no adapter"),
        ("transpose(0)", "has 1 arguments; transpose takes 2 whole numbers"),
        ("permute()", "has 0 arguments; permute takes 1 or more"),
        ("permute(a)", "has the argument 'a'"),
        ("transpose(0, :)", "has the argument ':'"),
        ("slice(::-1)", "has the argument '::-1'; slice takes numbers and ranges"),
        ("concat(0) | sum()", "joins twice"),
        ("squeeze(0) |", "is no adapter"),
        ("squeeze(0, 1)", "has 2 arguments; squeeze takes at most 1 whole numbers"),
        ("select(0)", "has 1 arguments; select takes 2"),
        ("flatten(0, 1, 2)", "has 3 arguments; flatten takes at most 2"),
        ("unpad()", "names no mask; write unpad\\(DATA_ID\\)"),
        ('unpad("\\x")', "has a name in quotes that cannot be read"),
    ],
)
def test_adapters_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_steps(text)


def test_every_adapter_has_its_row() -> None:
    assert {*VIEWS, *SHAPES, *SELECTORS, *JOINERS} == set(NAMES)


# -- names within files


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["a.b", "list.1", "outer.inner.w", "plain"]))
def test_tensors_in_nested_containers_are_found(name: str, tmp_path: Path) -> None:
    tensors = {
        "plain": torch.tensor([0.0]),
        "a.b": torch.tensor([1.0]),  # a key with a dot goes before nesting
        "a": {"b": torch.tensor([9.0])},
        "list": [torch.tensor([8.0]), torch.tensor([2.0])],
        "outer": {"inner.w": torch.tensor([3.0])},
    }
    path = tmp_path / "nested.pt"
    torch.save(tensors, path)
    expected = {"plain": 0.0, "a.b": 1.0, "list.1": 2.0, "outer.inner.w": 3.0}[name]
    assert open_source(f"{path}::{name}").read(0, 1).tolist() == [expected]
    for wrong in ("list.5", "outer.gone", "a"):
        with pytest.raises(PairError) as caught:
            open_source(f"{path}::{wrong}")
        assert caught.value.reason is Reason.NOT_A_TENSOR


def test_a_joined_pair_depends_on_all_of_its_files(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(4, 3)
    torch.save(whole, tmp_path / "g.pth")
    for number in range(2):
        write_bin(tmp_path / f"{number}.bin", whole[2 * number : 2 * number + 2])
    files = tuple(str(tmp_path / f"{number}.bin") for number in range(2))
    my = Location(files, parse_steps("concat(0)"))
    measured = measure_request(Request(Location.of(str(tmp_path / "g.pth")), my, Wanted(2.0**-23)))
    assert measured.error is None
    assert measured.stats is not None
    assert measured.stats.difference_max == 0
    assert [Path(state.path).name for state in measured.files] == ["g.pth", "0.bin", "1.bin"]
    (tmp_path / "1.bin").unlink()
    gone = measure_request(Request(Location.of(str(tmp_path / "g.pth")), my, Wanted(2.0**-23)))
    assert gone.error is not None
    assert gone.error.reason is Reason.MY_MISSING
    assert "1.bin does not exist" in str(gone.error)
