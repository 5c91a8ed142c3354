"""The ATB `.bin` format: what write_bin writes, and what the reader takes from any writer."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp import write_bin
from ait_cmp.atb import DTYPE_CODES
from ait_cmp.engine import align
from ait_cmp.engine.looks import look_at
from ait_cmp.source import Source, from_memory, open_source
from ait_cmp.source.view import FractalNz
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason
from tests.formats import NOT_ATB

SHAPES: list[tuple[int, ...]] = [(), (0,), (0, 3), (1,), (2, 3, 4)]
WRITTEN = [name for name in DTYPES if name not in NOT_ATB]
SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples" / "atb"
# One folder for all examples of a property: each writes its file anew.
IN_ONE_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)


def random_tensor(dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Random bits, so every NaN, infinity and subnormal may come; 0 and 1 for bool."""
    torch_dtype: torch.dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(0)
    if torch_dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    size = math.prod(shape) * torch_dtype.itemsize
    raw = torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8)
    return raw.view(torch_dtype).reshape(shape)


def bits(tensor: torch.Tensor) -> bytes:
    """The elements in row-major order, as bytes."""
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def read_all(source: Source) -> bytes:
    return source.read(0, source.elements).tobytes()


def assert_holds(path: Path, tensor: torch.Tensor) -> None:
    """The reader gives `tensor` back: type, shape and every bit."""
    source = open_source(str(path))
    assert str(source.dtype) == str(tensor.dtype)
    assert source.shape == tuple(tensor.shape)
    assert read_all(source) == bits(tensor)


def record(
    dims: str,
    data: bytes,
    *,
    dtype: int = 0,
    format_code: int = 2,
    extra: tuple[str, ...] = (),
    order: list[int] | None = None,
) -> bytes:
    """A record as some writer of the format makes it, the attributes in the given order."""
    lines = [
        "$Object.Count=1",
        f"$Object.Length={len(data)}",
        f"format={format_code}",
        f"dtype={dtype}",
        f"dims={dims}",
        f"$Object.data=0,{len(data)}",
    ]
    ordered = [lines[index] for index in order or range(6)]
    text = "".join(f"{line}\n" for line in ("$Version=1.0", *ordered, *extra, "$End=1"))
    return text.encode() + data


def alias(name: str, dims: str = "2") -> bytes:
    """A record without data of its own."""
    lines = ["$Version=1.0", "$Object.Count=0", "$Object.Length=0", "format=2", "dtype=0"]
    return "\n".join([*lines, f"dims={dims}", f"data={name}", "$End=1", ""]).encode()


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def refusal(path: Path) -> PairError:
    """The error that the reader gives for `path`; it names the file."""
    with pytest.raises(PairError) as caught:
        open_source(str(path))
    assert str(path.parent) in str(caught.value)
    return caught.value


def foreign_reader(path: Path) -> tuple[int, list[int], bytes]:
    """A reader as other tools have it: (dtype code, dims, data)."""
    raw, position, attributes = path.read_bytes(), 0, {}
    while True:
        end = raw.index(b"\n", position)
        name, value = raw[position:end].decode().split("=", 1)
        position = end + 1
        if name == "$End":
            break
        attributes[name] = value
    dims = [int(x) for x in attributes["dims"].split(",")]
    offset, length = (int(x) for x in attributes["$Object.data"].split(","))
    data = raw[position + offset : position + offset + length]
    return int(attributes["dtype"]), dims, data


# -- the writer


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", WRITTEN)
def test_round_trip_keeps_every_bit(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    tensor = random_tensor(dtype, shape)
    write_bin(tmp_path / "t.bin", tensor)
    assert_holds(tmp_path / "t.bin", tensor)


@pytest.mark.parametrize("dtype", WRITTEN)
def test_views_are_written_in_logical_order(dtype: str, tmp_path: Path) -> None:
    tensor = random_tensor(dtype, (4, 6, 3))
    views = [
        tensor.permute(2, 0, 1),  # transposed
        tensor[1:, ::2],  # sliced with a step, and an offset
        tensor[:1].expand(5, 6, 3),  # stride 0
        tensor[2],  # contiguous, but with an offset in a larger storage
    ]
    for view in views:
        write_bin(tmp_path / "t.bin", view)
        assert_holds(tmp_path / "t.bin", view)


def test_what_autograd_and_conj_mark_is_written_as_values(tmp_path: Path) -> None:
    leaf = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    lazily_negated = torch.tensor([1 + 2j, 3 - 4j]).conj().imag  # torch only flips a flag
    for tensor in (leaf, leaf.t() * 2, lazily_negated):
        write_bin(tmp_path / "t.bin", tensor)
        assert_holds(tmp_path / "t.bin", tensor.detach().resolve_neg())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", WRITTEN)
def test_foreign_readers_take_the_output(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    tensor = random_tensor(dtype, shape)
    write_bin(tmp_path / "t.bin", tensor)
    code, dims, data = foreign_reader(tmp_path / "t.bin")
    assert "torch." + DTYPE_CODES[code] == str(tensor.dtype)
    assert dims == list(shape or (1,))  # no tool reads an empty dims, so 0-d is one element
    assert data == bits(tensor)


def test_writer_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    longest = tmp_path / f"{'长' * 83}.bin"  # 253 of the 255 bytes that a file name may have
    for tensor in (torch.zeros(100), torch.ones(2)):
        write_bin(longest, tensor)
    assert_holds(longest, torch.ones(2))
    assert os.listdir(tmp_path) == [longest.name]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bin(tmp_path / "t.bin", torch.ones(2))

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_bin(tmp_path / "t.bin", torch.zeros(2))
    assert_holds(tmp_path / "t.bin", torch.ones(2))
    assert os.listdir(tmp_path) == ["t.bin"]


def test_threads_that_write_one_path_do_not_mix(tmp_path: Path) -> None:
    tensors = [torch.full((1000,), float(n)) for n in range(4)]

    def write(tensor: torch.Tensor) -> None:
        for _ in range(20):
            write_bin(tmp_path / "t.bin", tensor)

    threads = [threading.Thread(target=write, args=(tensor,)) for tensor in tensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = np.frombuffer(read_all(open_source(str(tmp_path / "t.bin"))), "<f4")
    assert len(np.unique(values)) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0], "tensor must be a torch.Tensor, not list"),
        (torch.eye(2).to_sparse(), "to_dense"),
        (torch.empty(2, device="meta"), "meta device"),
        (torch.zeros(2, dtype=torch.complex64).to_sparse(), "to_dense"),
    ],
    ids=["list", "sparse", "meta", "sparse complex"],
)
def test_writer_refuses_what_has_no_dense_data(value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=words):
        write_bin(tmp_path / "t.bin", value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", sorted(NOT_ATB))
def test_writer_refuses_types_that_have_no_code(dtype: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=rf"{dtype}, which .* does not know; pass its \.float"):
        write_bin(tmp_path / "t.bin", random_tensor(dtype, (2, 3)))
    assert os.listdir(tmp_path) == []


def test_complex_is_written_as_what_it_is_and_read_as_its_parts(tmp_path: Path) -> None:
    write_bin(tmp_path / "t.bin", torch.tensor([1 + 2j]).conj())
    assert foreign_reader(tmp_path / "t.bin") == (16, [1], floats(1, -2))
    assert_holds(tmp_path / "t.bin", torch.tensor([[1.0, -2.0]]))


# -- the header


@IN_ONE_FOLDER
@given(order=st.permutations(list(range(6))), padding=st.integers(0, 9))
def test_any_order_and_length_of_the_header(order: list[int], padding: int, tmp_path: Path) -> None:
    # The padding moves the data through every alignment.
    data = np.arange(6, dtype="<i8").tobytes()
    extra = ("note=" + "x" * padding,)
    path = tmp_path / "t.bin"
    path.write_bytes(record("2,3", data, dtype=9, extra=extra, order=order))
    assert_holds(path, torch.arange(6).reshape(2, 3))


def test_data_offset_within_the_data(tmp_path: Path) -> None:
    (tmp_path / "t.bin").write_bytes(
        record("2", b"junk" + floats(1, 2)).replace(b"data=0,12", b"data=4,8")
    )
    assert_holds(tmp_path / "t.bin", torch.tensor([1.0, 2.0]))


def test_of_appended_records_the_newest_wins(tmp_path: Path) -> None:
    older = record("3", floats(9, 9, 9)) + alias("gone.bin")
    (tmp_path / "t.bin").write_bytes(older + record("2", floats(1, 2)))
    assert_holds(tmp_path / "t.bin", torch.tensor([1.0, 2.0]))


def test_data_that_look_like_a_header_are_data(tmp_path: Path) -> None:
    inner = record("1", floats(7))
    (tmp_path / "t.bin").write_bytes(record(str(len(inner)), inner, dtype=4))
    assert read_all(open_source(str(tmp_path / "t.bin"))) == inner


def test_every_cut_is_an_error_never_other_values(tmp_path: Path) -> None:
    whole = record("3", floats(1, 2, 3)) + record("2", floats(4, 5))
    first = len(record("3", floats(1, 2, 3)))
    for length in range(len(whole)):
        if length == first:
            continue  # exactly the older record: nothing tells that more was meant to follow
        (tmp_path / "t.bin").write_bytes(whole[:length])
        assert refusal(tmp_path / "t.bin").reason in (Reason.BIN_TRUNCATED, Reason.BIN_MALFORMED)


GOOD = record("2", floats(1, 2))


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", Reason.BIN_MALFORMED, "$Version"),
        (b"\x93NUMPY", Reason.BIN_MALFORMED, "$Version"),
        (GOOD[:-1], Reason.BIN_TRUNCATED, "ends after"),
        (GOOD[:40], Reason.BIN_TRUNCATED, "$End=1"),
        (GOOD + b"x", Reason.BIN_TRAILING, f"at byte {len(GOOD)}"),
        (GOOD.replace(b"dtype=0\n", b""), Reason.BIN_MALFORMED, "dtype="),
        (GOOD.replace(b"dtype=0\n", b"dtype=0\ndtype=1\n"), Reason.BIN_MALFORMED, "twice"),
        (GOOD.replace(b"dims=2", b"dims=-2"), Reason.BIN_MALFORMED, "dims='-2'"),
        (GOOD.replace(b"dims=2", b"dims=2,"), Reason.BIN_MALFORMED, "dims='2,'"),
        (GOOD.replace(b"dims=2", b"dims=3"), Reason.BIN_INCONSISTENT, "takes 12 bytes"),
        (GOOD.replace(b"dims=2", b"dims=1"), Reason.BIN_INCONSISTENT, "takes 4 bytes"),
        (GOOD.replace(b"data=0,8", b"data=4,8"), Reason.BIN_INCONSISTENT, "$Object.Length"),
        (GOOD.replace(b"data=0,8", b"data=8"), Reason.BIN_MALFORMED, "$Object.data"),
        (GOOD.replace(b"format", b"for\xffmat"), Reason.BIN_MALFORMED, "format="),
        (record("0," + "9" * 19, b""), Reason.BIN_MALFORMED, "dims that no tensor has"),
        (record(",".join(["1"] * 70), floats(1)), Reason.BIN_MALFORMED, "no tensor has"),
        (b"$Version=1.0\n" + b"x" * 2**17, Reason.BIN_MALFORMED, "$End=1"),
        (
            record("1,1,1,1", bytes(8), dtype=16, format_code=29),
            Reason.DTYPE_UNSUPPORTED,
            "complex64",
        ),
        (record("1", bytes(8), dtype=17), Reason.BIN_INCONSISTENT, "takes 16 bytes"),
        (record("1", bytes(1), dtype=34), Reason.DTYPE_UNSUPPORTED, "hifloat8"),
        (record("1", bytes(1), dtype=99), Reason.DTYPE_UNSUPPORTED, "dtype code 99"),
    ],
)
def test_refused_files(content: bytes, reason: Reason, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.bin").write_bytes(content)
    error = refusal(tmp_path / "t.bin")
    assert error.reason is reason
    assert words in str(error)


@IN_ONE_FOLDER
@given(data=st.data())
def test_a_damaged_file_is_an_error_or_values_never_a_crash(
    data: st.DataObject, tmp_path: Path
) -> None:
    content = bytearray(GOOD)
    for _ in range(3):
        content[data.draw(st.integers(0, len(GOOD) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "t.bin").write_bytes(content)
    with contextlib.suppress(PairError):
        read_all(open_source(str(tmp_path / "t.bin")))


# -- aliases


def operation_tree(root: Path, layout: str) -> Path:
    """The round folder of a dump of one operation 24 with a nested 24_1, and of one 3."""
    round_folder = root / layout
    for number, folder in enumerate(
        [
            "3_Add/after",
            "24_Layer/after",
            "24_Layer/before",
            "24_Layer/1_Linear/after",
            "24_Layer/3_Add/after",  # a nested 3, which the opId `3` does not mean
            "240_Other/after",
        ]
    ):
        (round_folder / folder).mkdir(parents=True)
        (round_folder / folder / "outtensor0.bin").write_bytes(record("2", floats(number, 0)))
    return round_folder


@pytest.mark.parametrize("layout", ["ait_dump/tensors/0_77/0", "atb_dump_data/data/0_77/1", "mine"])
@pytest.mark.parametrize(
    ("place", "name", "number"),
    [
        ("24_Layer/after", "outtensor0.bin", 1),  # a sibling goes before all else
        ("24_Layer/after", "24_1_outtensor0.bin", 3),  # nested, from its parent
        ("3_Add/after", "24_1_outtensor0.bin", 3),  # nested, from another operation
        ("24_Layer/1_Linear/after", "3_outtensor0.bin", 0),  # the outermost 3, not 24_3
        ("24_Layer/after", "3_outtensor0.bin", 0),
        ("24_Layer/after", "24_3_outtensor0.bin", 4),
        ("3_Add/after", "24_outtensor0.bin", 1),  # after from after
        ("3_Add/before", "24_outtensor0.bin", 2),  # before from before
        ("3_Add/after", "240_outtensor0.bin", 5),  # not 24
    ],
)
def test_alias_finds_the_file_that_it_names(
    layout: str, place: str, name: str, number: int, tmp_path: Path
) -> None:
    folder = operation_tree(tmp_path, layout) / place
    folder.mkdir(exist_ok=True)
    (folder / "intensor7.bin").write_bytes(alias(name))
    assert_holds(folder / "intensor7.bin", torch.tensor([number, 0.0]))


def test_alias_from_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = operation_tree(tmp_path, "ait_dump/tensors/0_77/0") / "24_Layer/after"
    (folder / "intensor0.bin").write_bytes(alias("3_outtensor0.bin"))
    monkeypatch.chdir(folder)
    assert read_all(open_source("intensor0.bin")) == floats(0, 0)


def test_alias_of_an_alias(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(alias("b.bin"))
    (tmp_path / "b.bin").write_bytes(alias("c.bin"))
    (tmp_path / "c.bin").write_bytes(GOOD)
    assert_holds(tmp_path / "a.bin", torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    "other",
    [record("3", floats(1, 2, 3)), record("1,2", floats(1, 2)), record("2", bytes(16), dtype=9)],
    ids=["size", "dims", "dtype"],
)
def test_alias_that_contradicts_what_it_leads_to(other: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(alias("b.bin"))
    (tmp_path / "b.bin").write_bytes(other)
    error = refusal(tmp_path / "a.bin")
    assert error.reason is Reason.BIN_ALIAS
    assert "dims [2] of torch.float32" in str(error)
    (tmp_path / "b.bin").write_bytes(alias("c.bin", dims="3"))
    (tmp_path / "c.bin").write_bytes(GOOD)
    assert refusal(tmp_path / "a.bin").reason is Reason.BIN_ALIAS


def test_many_links_between_operations_cost_no_time(tmp_path: Path) -> None:
    folder = tmp_path / "0_77" / "0"
    for _ in range(16):
        folder.mkdir(parents=True)
        (folder / "0_b").symlink_to("0_a")
        (folder / "0_c").symlink_to("0_a")
        folder /= "0_a"
    folder.mkdir()
    (folder / "outtensor0.bin").write_bytes(GOOD)
    asking = tmp_path / "0_77" / "0" / "1_x.bin"
    asking.write_bytes(alias("0_" * 16 + "outtensor0.bin"))
    began = time.monotonic()
    assert_holds(asking, torch.tensor([1.0, 2.0]))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "name",
    [
        "gone.bin",
        "99_outtensor0.bin",  # no such operation
        "a.bin",  # itself
        "b.bin",  # which points back
        "../x.bin",  # there, but outside the folder
        "/etc/passwd",
        "..",
        "sub/x.bin",
        "x" * 5000,  # longer than a file name can be
        "1_outtensor" + "9" * 300 + ".bin",
        "nul\0.bin",
        "24_*_outtensor0.bin",
    ],
)
def test_alias_that_leads_nowhere(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    (folder / "sub").mkdir(parents=True)
    for outside in (tmp_path / "x.bin", folder / "sub" / "x.bin"):
        outside.write_bytes(GOOD)
    (folder / "a.bin").write_bytes(alias(name))
    (folder / "b.bin").write_bytes(alias("a.bin"))
    assert refusal(folder / "a.bin").reason is Reason.BIN_ALIAS


def test_alias_does_not_leave_the_dump_for_an_operation(tmp_path: Path) -> None:
    # A neighbour of the dump that looks like an operation is not in the dump.
    folder = operation_tree(tmp_path / "home" / "dump", "ait_dump/tensors/0_77/0") / "3_Add/after"
    stranger = tmp_path / "home" / "99_Stranger"
    stranger.mkdir()
    (stranger / "outtensor0.bin").write_bytes(GOOD)
    (folder / "a.bin").write_bytes(alias("99_outtensor0.bin"))
    assert refusal(folder / "a.bin").reason is Reason.BIN_ALIAS


# -- FRACTAL_NZ


def logical_matrix(stored: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The reference, element by element: [n, c] lies at [c // C0, n // N0, n % N0, c % C0]."""
    n0, c0 = stored.shape[-2:]
    result = np.empty(shape, stored.dtype)
    for index in np.ndindex(*shape):
        *batch, n, c = index
        result[index] = stored[(*batch, c // c0, n // n0, n % n0, c % c0)]
    return result


def nz_file(path: Path, stored_shape: tuple[int, ...]) -> npt.NDArray[Any]:
    stored = np.arange(math.prod(stored_shape), dtype="<i4").reshape(stored_shape)
    dims = ",".join(map(str, stored_shape))
    path.write_bytes(record(dims, stored.tobytes(), dtype=3, format_code=29))
    return stored


@IN_ONE_FOLDER
@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    blocks=st.tuples(*[st.integers(1, 4)] * 4),
    data=st.data(),
)
def test_fractal_nz_is_read_in_logical_order(
    batch: list[int], blocks: tuple[int, int, int, int], data: st.DataObject, tmp_path: Path
) -> None:
    c1, n1, n0, c0 = blocks
    stored = nz_file(tmp_path / "t.bin", (*batch, *blocks))
    rows = data.draw(st.integers((n1 - 1) * n0 + 1, n1 * n0))
    columns = data.draw(st.integers((c1 - 1) * c0 + 1, c1 * c0))
    shape = (*batch, rows, columns)

    whole = open_source(str(tmp_path / "t.bin"))
    assert whole.shape == (*batch, n1 * n0, c1 * c0)
    cropped = whole.shaped_like(shape)
    assert cropped.shape == shape
    expected = logical_matrix(stored, shape).reshape(-1)
    start = data.draw(st.integers(0, expected.size))
    stop = data.draw(st.integers(start, expected.size))
    assert cropped.read(start, stop).tolist() == expected[start:stop].tolist()


@pytest.mark.parametrize(
    "shape",
    [
        (33, 24),  # more rows than are stored
        (16, 24),  # a whole block less: not what padding does
        (20, 16),
        (1, 20, 24),  # another number of dimensions
        (480,),
        (),
    ],
    ids=str,
)
def test_fractal_nz_is_not_cropped_to_a_shape_that_does_not_fit(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    nz_file(tmp_path / "t.bin", (2, 2, 16, 16))
    golden = from_memory(DTYPES["int32"], np.zeros(shape, "<i4"))
    with pytest.raises(PairError, match="FRACTAL_NZ") as caught:
        align(golden=golden, my=open_source(str(tmp_path / "t.bin")))
    assert caught.value.reason is Reason.SHAPE_MISMATCH


def test_a_look_in_detail_sees_no_padding(tmp_path: Path) -> None:
    stored = nz_file(tmp_path / "t.bin", (2, 2, 16, 16))
    golden = from_memory(DTYPES["int32"], logical_matrix(stored, (20, 24)))
    found = look_at("detail", golden, open_source(str(tmp_path / "t.bin"))).detail
    assert found is not None
    assert found.equal == found.elements == 480


def test_fractal_nz_without_elements(tmp_path: Path) -> None:
    nz_file(tmp_path / "t.bin", (0, 2, 2, 16, 16))
    source = open_source(str(tmp_path / "t.bin")).shaped_like((0, 20, 24))
    assert source.shape == (0, 20, 24)
    assert source.read(0, 0).size == 0


# -- what the library's own writer made


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not part of the repository")
def test_samples_of_the_library() -> None:
    for sample in json.loads((SAMPLES / "expected.json").read_text()):
        source = open_source(str(SAMPLES / sample["file"]))
        dtype = getattr(torch, sample["dtype"])
        assert str(source.dtype) == str(dtype)
        if "logical_values" in sample:
            assert isinstance(source, FractalNz)
            stored = torch.tensor(sample["values"]).to(dtype)
            assert source.inner.shape == tuple(sample["shape"])
            assert read_all(source.inner) == bits(stored)
            source = source.shaped_like(tuple(sample["logical_shape"]))
        values = torch.tensor(sample.get("logical_values", sample["values"])).to(dtype)
        assert source.shape == tuple(sample.get("logical_shape", sample["shape"]))
        assert read_all(source) == bits(values)
