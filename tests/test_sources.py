"""One contract for every row of `SOURCES`: type, shape, and any range of elements in row-major
order; and for what cannot be read, an error that names the file, with its code.

A row has at least one way to be written (`tests/formats.py`); `test_{FORMAT}.py` says what only
one format can.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp.source import (
    SOURCES,
    Source,
    is_tensor_path,
    open_source,
    split_name,
    tensor_names,
)
from ait_cmp.values.dtypes import COMPLEX, DTYPES
from ait_cmp.values.errors import PairError, Reason
from tests.formats import SHAPES, WAYS, Way, flat_bits, random_tensor, refusal, views

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
named_ways = pytest.mark.parametrize(
    "way", [pytest.param(way, id=name) for name, way in WAYS.items() if way.save_many]
)


def check_source(source: Source, tensor: torch.Tensor) -> None:
    """`source` says what `tensor` says, mapped and not."""
    expected = flat_bits(tensor)
    assert str(source.dtype) == str(tensor.dtype)
    assert source.shape == tuple(tensor.shape)
    assert source.elements == tensor.numel()
    assert source.shaped_like((99, 99)).shape == source.shape
    rng = random.Random(0)
    bounds = [sorted(rng.choices(range(expected.size + 1), k=2)) for _ in range(20)]
    for reader in (source, source.unmapped()):
        for start, stop in [(0, expected.size), (0, 0), *bounds]:
            part = reader.read(start, stop)
            assert part.ndim == 1
            assert part.dtype == np.dtype(source.dtype.storage)
            assert part.tobytes() == expected[start:stop].tobytes()


def test_every_row_has_a_way() -> None:
    assert {way.suffix for way in WAYS.values()} == set(SOURCES)
    named = {way.suffix for way in WAYS.values() if way.save_many}
    assert {suffix for suffix, row in SOURCES.items() if row.has_names} == named


# -- what is read


@every_way
@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("dtype", COMPLEX)
def test_complex_numbers_are_read_as_their_parts(way: Way, dtype: str, tmp_path: Path) -> None:
    lacks = {
        "safetensors": {"complex32", "complex128"},
        "npy": {"complex32"},
        "npz": {"complex32"},
        "legacy": {"complex32"},
    }
    if dtype in next((types for name, types in lacks.items() if way is WAYS[name]), set()):
        pytest.skip("this format has no such type")
    parts = random_tensor(COMPLEX[dtype].name, (4, 6, 3, 2))
    for view in [parts, parts.transpose(0, 2), parts[1:, ::2], parts[:1].expand(5, 6, 3, 2)]:
        check_source(way.source(tmp_path, torch.view_as_complex(view)), view)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byteorder", "<>")
def test_complex_arrays_of_any_order(order: Any, byteorder: str, tmp_path: Path) -> None:
    numbers = np.arange(12).reshape(3, 4) * (1 - 2j)
    np.save(tmp_path / "t.npy", np.array(numbers, f"{byteorder}c16", order=order))
    check_source(open_source(str(tmp_path / "t.npy")), torch.view_as_real(torch.tensor(numbers)))


@pytest.mark.parametrize(
    ("way", "dtype"),
    [
        pytest.param(way, dtype, id=f"{name}-{dtype}")
        for name, way in WAYS.items()
        for dtype in DTYPES
        if dtype in way.dtypes
    ],
)
def test_every_type_shape_and_stride_comes_back(way: Way, dtype: str, tmp_path: Path) -> None:
    for shape in SHAPES:
        tensor = random_tensor(dtype, shape)
        check_source(way.source(tmp_path, tensor), tensor)
    for view in views(random_tensor(dtype, (4, 6, 3))):
        check_source(way.source(tmp_path, view), view)


@every_way
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 72)), view=st.sampled_from(range(7)), mapped=st.booleans())
def test_any_split_gives_the_whole(
    way: Way, cuts: list[int], view: int, mapped: bool, tmp_path: Path
) -> None:
    tensor = views(random_tensor("float32", (4, 6, 3)))[view]
    source = way.source(tmp_path, tensor)
    if not mapped:
        source = source.unmapped()
    bounds = [0, *sorted(min(cut, source.elements) for cut in cuts), source.elements]
    parts = [source.read(start, stop) for start, stop in pairwise(bounds)]
    assert np.concatenate(parts).tobytes() == flat_bits(tensor).tobytes()


@every_way
def test_a_large_tensor_comes_back(way: Way, tmp_path: Path) -> None:
    # Beyond what is read whole when it is opened.
    tensor = random_tensor("float32", (300, 400))
    check_source(way.source(tmp_path, tensor), tensor)
    check_source(way.source(tmp_path, tensor.T), tensor.T)


@every_way
def test_what_autograd_tracks_is_read(way: Way, tmp_path: Path) -> None:
    tensor = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    check_source(way.source(tmp_path, tensor), tensor)


@every_way
def test_files_are_mapped_not_read(way: Way, tmp_path: Path) -> None:
    # What a range does not touch is never in memory; and nothing is mapped for a header alone.
    path = str(way.file(tmp_path, torch.arange(1 << 20)))
    source = open_source(path)
    maps = Path("/proc/self/maps")
    assert path not in maps.read_text(encoding="utf-8")
    assert source.read(5, 7).tolist() == [5, 6]
    assert path in maps.read_text(encoding="utf-8")


@every_way
def test_states_are_those_of_the_file_when_it_was_opened(way: Way, tmp_path: Path) -> None:
    path = way.file(tmp_path, torch.ones(3))
    source = open_source(str(path))
    (state,) = source.states
    assert (state.path, state.size) == (str(path), path.stat().st_size)
    way.save(path, torch.ones(4))
    assert source.states == (state,)
    assert open_source(str(path)).states != (state,)


# -- tensors by name


@named_ways
def test_tensors_are_found_by_name(way: Way, tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3), "b.c": torch.ones(2, 2), "d::e": torch.zeros(0)}
    path = tmp_path / f"t{way.suffix}"
    assert way.save_many
    way.save_many(path, tensors)
    for name, tensor in tensors.items():
        check_source(open_source(f"{path}::{name}"), tensor)
    assert tensor_names(str(path)) == list(tensors)
    with pytest.raises(PairError, match="gone") as caught:
        open_source(f"{path}::gone")
    assert caught.value.reason is Reason.NOT_A_TENSOR
    error = refusal(path)
    assert error.reason is Reason.NOT_A_TENSOR
    assert "3" in str(error)
    assert "(a, b.c, d::e)" in str(error)


@every_way
def test_one_tensor_has_no_names(way: Way, tmp_path: Path) -> None:
    path = str(way.file(tmp_path, torch.arange(3)))
    assert tensor_names(path) == (["only"] if way.suffix in (".npz", ".safetensors") else None)


@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_a_name_is_not_taken_for_a_suffix(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"t{suffix}").touch()
    with pytest.raises(PairError, match="leave ::w out") as caught:
        open_source(f"{tmp_path}/t{suffix}::w")
    assert caught.value.reason is Reason.NOT_A_TENSOR


# -- names and suffixes


@pytest.mark.parametrize(
    ("location", "path", "name"),
    [
        ("a.safetensors::w", "a.safetensors", "w"),
        ("a.SAFETENSORS::w", "a.SAFETENSORS", "w"),
        ("a.pth::w", "a.pth", "w"),
        ("a.safetensors::aten::add", "a.safetensors", "aten::add"),
        ("3_aten::add/o.bin", "3_aten::add/o.bin", None),  # a folder, not a name
        ("pytorch_model.bin::w", "pytorch_model.bin", "w"),
        ("a.npz::/layer/w", "a.npz", "/layer/w"),
        ("a.npy::w", "a.npy::w", None),  # a .npy holds no names
        ("a.pth", "a.pth", None),
    ],
)
def test_split_name(location: str, path: str, name: str | None) -> None:
    assert split_name(location) == (path, name)


def test_suffixes_in_any_case(tmp_path: Path) -> None:
    for name in ("t.pt", "t.PTH", "t.Pt"):
        torch.save(torch.arange(3), tmp_path / name)
        check_source(open_source(str(tmp_path / name)), torch.arange(3))


def test_is_tensor_path() -> None:
    assert all(is_tensor_path(f"x{suffix}") for suffix in SOURCES)
    assert is_tensor_path("X.PTH")
    assert is_tensor_path("a.safetensors::w")
    assert not is_tensor_path("metadata.json")
    assert not is_tensor_path("ait_dump")


# -- what is damaged


@every_way
def test_a_file_that_is_cut_while_it_is_read_is_an_error(way: Way, tmp_path: Path) -> None:
    # Through a mapping this would be the end of the process.
    source = way.source(tmp_path, torch.arange(100_000)).unmapped()
    os.truncate(source.states[-1].path, 4096)
    with pytest.raises(PairError, match="truncated while it was read"):
        source.read(90_000, 100_000)


@every_way
def test_every_cut_is_an_error_never_other_values(way: Way, tmp_path: Path) -> None:
    path = way.file(tmp_path, torch.arange(40.0))
    whole = path.read_bytes()
    for length in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        reason = refusal(path).reason
        # The pickle of a legacy file can be cut so that it names another class.
        cut_name = way is WAYS["legacy"] and reason is Reason.UNSAFE_PICKLE
        assert cut_name or reason.endswith(("_MALFORMED", "_TRUNCATED"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@every_way
def test_damage_is_an_error_or_values_never_a_crash(way: Way, tmp_path: Path) -> None:
    path = way.file(tmp_path, torch.arange(10.0))
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(PairError):
            source = open_source(str(path))
            source.read(0, source.elements)


@every_way
@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 1000, b"\x7fELF" + bytes(200)])
def test_another_format_is_malformed(way: Way, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"t{way.suffix}").write_bytes(content)
    assert refusal(tmp_path / f"t{way.suffix}").reason.endswith(("_MALFORMED", "_TRUNCATED"))


# -- what is no file


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "t.txt").touch()
    error = refusal(tmp_path / "t.txt")
    assert error.reason is Reason.FORMAT_UNKNOWN
    assert ".safetensors" in str(error)
    (tmp_path / "t").touch()
    assert refusal(tmp_path / "t").reason is Reason.FORMAT_UNKNOWN


@pytest.mark.parametrize("suffix", SOURCES)
def test_what_is_no_regular_file(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_source(str(tmp_path / f"gone{suffix}"))
    (tmp_path / f"folder{suffix}").mkdir()
    assert refusal(tmp_path / f"folder{suffix}").reason is Reason.NOT_A_FILE
    (tmp_path / f"loop{suffix}").symlink_to(tmp_path / f"loop{suffix}")
    assert refusal(tmp_path / f"loop{suffix}").reason is Reason.FILE_UNREADABLE
    (tmp_path / f"empty{suffix}").touch()
    assert refusal(tmp_path / f"empty{suffix}").reason.endswith("_MALFORMED")


@pytest.mark.parametrize("suffix", SOURCES)
def test_a_fifo_does_not_hang(suffix: str, tmp_path: Path) -> None:
    # Opening a FIFO without a writer waits for ever, unless asked not to.
    path = tmp_path / f"fifo{suffix}"
    os.mkfifo(path)
    found: list[PairError] = []
    thread = threading.Thread(target=lambda: found.append(refusal(path)), daemon=True)
    thread.start()
    thread.join(20)
    assert [error.reason for error in found] == [Reason.NOT_A_FILE]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("suffix", SOURCES)
def test_a_file_without_permission(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"t{suffix}").touch(mode=0)
    assert refusal(tmp_path / f"t{suffix}").reason is Reason.FILE_UNREADABLE
