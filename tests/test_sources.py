"""Every format keeps one contract: type, shape, and any range of elements in row-major order."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import random
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp import write_bin
from ait_cmp.source import (
    SOURCES,
    Source,
    from_array,
    from_memory,
    is_tensor_path,
    open_source,
    split_name,
)
from ait_cmp.source.view import flat_range
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason

NUMPY_TYPES = {name for name in DTYPES if hasattr(np, name) or name == "bool"}
SHAPES: list[tuple[int, ...]] = [(), (0,), (0, 3), (1,), (2, 3, 4), (7, 1, 5)]


def random_tensor(dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Random bits, so every NaN, infinity and subnormal may come; 0 and 1 for bool."""
    torch_dtype: torch.dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(1)
    if torch_dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    size = math.prod(shape) * torch_dtype.itemsize
    raw = torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8)
    return raw.view(torch_dtype).reshape(shape)


def flat_bits(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """The elements in row-major order as stored bits: what `read` must give, sliced."""
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    name = str(tensor.dtype).removeprefix("torch.")
    return flat.view(torch.uint8).numpy().view(DTYPES[name].storage)


def check_source(source: Source, tensor: torch.Tensor) -> None:
    """The conformance suite, called for every format."""
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


# -- savers: one for each format


def save_pth(path: Path, tensor: torch.Tensor) -> None:
    torch.save(tensor, path)


def save_legacy(path: Path, tensor: torch.Tensor) -> None:
    torch.save(tensor, path, _use_new_zipfile_serialization=False)


def save_npy(path: Path, tensor: torch.Tensor) -> None:
    np.save(path, tensor.detach().numpy())


def save_safetensors(path: Path, tensor: torch.Tensor) -> None:
    safetensors.torch.save_file({"only": tensor.detach().contiguous()}, path)


SAVERS: dict[str, tuple[str, Callable[[Path, torch.Tensor], None]]] = {
    "bin": (".bin", write_bin),
    "pth": (".pth", save_pth),
    "legacy": (".pth", save_legacy),
    "npy": (".npy", save_npy),
    "safetensors": (".safetensors", save_safetensors),
}


def saved(format_name: str, folder: Path, tensor: torch.Tensor) -> Source:
    suffix, save = SAVERS[format_name]
    save(folder / f"t{suffix}", tensor)
    return open_source(str(folder / f"t{suffix}"))


def views(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Views of a (4, 6, 3) tensor that lie differently in memory."""
    return [
        tensor,
        tensor.permute(2, 0, 1),  # transposed
        tensor[1:, ::2],  # a step and an offset
        tensor[:1].expand(5, 6, 3),  # stride 0
        tensor[2],  # whole rows of a larger storage
        tensor[1, 2, 1],  # 0-d, with an offset
        tensor[:, :0],  # empty, of a storage that is not
    ]


# torch itself cannot load these from its legacy format, whose storages had types.
NOT_LEGACY = {"float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "uint16", "uint32", "uint64"}
HOLDS: dict[str, set[str]] = {"npy": NUMPY_TYPES, "legacy": set(DTYPES) - NOT_LEGACY}


def cases() -> list[tuple[str, str]]:
    """Every format with every type that it can hold."""
    return [
        (name, dtype) for name in SAVERS for dtype in DTYPES if dtype in HOLDS.get(name, DTYPES)
    ]


@pytest.mark.parametrize(("format_name", "dtype"), cases())
def test_formats_keep_the_contract(format_name: str, dtype: str, tmp_path: Path) -> None:
    for shape in SHAPES:
        tensor = random_tensor(dtype, shape)
        check_source(saved(format_name, tmp_path, tensor), tensor)
    for view in views(random_tensor(dtype, (4, 6, 3))):
        check_source(saved(format_name, tmp_path, view), view)


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_keeps_the_contract(dtype: str) -> None:
    tensors = [random_tensor(dtype, shape) for shape in SHAPES]
    for tensor in [*tensors, *views(random_tensor(dtype, (4, 6, 3)))]:
        check_source(from_memory(*as_array(tensor, "golden")), tensor)
        if dtype in NUMPY_TYPES:
            check_source(from_array(tensor.numpy(), "golden"), tensor)


@pytest.mark.parametrize("format_name", SAVERS)
def test_what_autograd_tracks_is_read(format_name: str, tmp_path: Path) -> None:
    tensor = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    check_source(saved(format_name, tmp_path, tensor), tensor)


@pytest.mark.parametrize("format_name", ["bin", "pth", "npy", "safetensors"])
def test_files_are_mapped_not_read(format_name: str, tmp_path: Path) -> None:
    # What a range does not touch is never in memory; and nothing is mapped for a header alone.
    suffix, save = SAVERS[format_name]
    path = tmp_path / f"t{suffix}"
    save(path, torch.arange(1 << 20))
    source = open_source(str(path))
    maps = Path("/proc/self/maps")
    assert str(path) not in maps.read_text(encoding="utf-8")
    assert source.read(5, 7).tolist() == [5, 6]
    assert str(path) in maps.read_text(encoding="utf-8")


def test_torch_tensor_with_the_negative_bit_is_read_negated() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj().imag  # torch only flips a flag
    check_source(from_memory(*as_array(tensor, "golden")), tensor.resolve_neg())


@pytest.mark.parametrize("format_name", ["pth", "legacy"])
def test_pth_with_the_negative_bit_is_read_negated(format_name: str, tmp_path: Path) -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    check_source(saved(format_name, tmp_path, tensor), tensor.resolve_neg())


@pytest.mark.parametrize("format_name", ["bin", "pth", "npy", "safetensors"])
def test_a_file_that_is_cut_while_it_is_read_is_an_error(format_name: str, tmp_path: Path) -> None:
    # Through a mapping this would be the end of the process.
    source = saved(format_name, tmp_path, torch.arange(100_000)).unmapped()
    os.truncate(source.states[-1].path, 4096)
    with pytest.raises(PairError, match="truncated while it was read"):
        source.read(90_000, 100_000)


# -- .npy


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i8", ">u2", "<f4", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_byte_and_index_order(dtype: str, order: Any, tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.save(tmp_path / "t.npy", np.asarray(array, order=order))
    native = array.astype(np.dtype(dtype).newbyteorder("="))
    check_source(open_source(str(tmp_path / "t.npy")), torch.from_numpy(native))
    check_source(from_array(np.asarray(array, order=order), "my"), torch.from_numpy(native))


def test_arrays_with_negative_strides_and_without_alignment() -> None:
    array = np.arange(24.0).reshape(4, 6)
    check_source(from_array(array[::-1, ::-2], "my"), torch.from_numpy(array[::-1, ::-2].copy()))
    raw = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].view("<f8")
    check_source(from_array(raw, "my"), torch.from_numpy(array.reshape(-1)))


# -- flat_range


@settings(deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(0, 4), max_size=4))
def test_flat_range_of_any_strides(data: st.DataObject, shape: list[int]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape)
    array = array.transpose(data.draw(st.permutations(range(len(shape)))))
    for axis in range(array.ndim):
        step = slice(None, None, data.draw(st.sampled_from([1, 2, -1])))
        array = array[(slice(None),) * axis + (step,)]
    if data.draw(st.booleans()):
        array = np.broadcast_to(array, (2, *array.shape))
    start = data.draw(st.integers(0, array.size))
    stop = data.draw(st.integers(start, array.size))
    assert flat_range(array, start, stop).tolist() == array.flatten()[start:stop].tolist()


# -- names and suffixes


@pytest.mark.parametrize(
    ("location", "path", "name"),
    [
        ("a.safetensors::w", "a.safetensors", "w"),
        ("a.SAFETENSORS::w", "a.SAFETENSORS", "w"),
        ("a.pth::w", "a.pth", "w"),
        ("a.safetensors::aten::add", "a.safetensors", "aten::add"),
        ("3_aten::add/o.bin", "3_aten::add/o.bin", None),  # a folder, not a name
        ("a.bin::w", "a.bin::w", None),  # a .bin holds no names
        ("a.pth", "a.pth", None),
    ],
)
def test_split_name(location: str, path: str, name: str | None) -> None:
    assert split_name(location) == (path, name)


def test_suffixes_in_any_case(tmp_path: Path) -> None:
    for name in ("t.pt", "t.PTH", "t.Pt"):
        save_pth(tmp_path / name, torch.arange(3))
        check_source(open_source(str(tmp_path / name)), torch.arange(3))


def test_is_tensor_path() -> None:
    assert all(is_tensor_path(f"x{suffix}") for suffix in SOURCES)
    assert is_tensor_path("X.PTH")
    assert is_tensor_path("a.safetensors::w")
    assert not is_tensor_path("metadata.json")
    assert not is_tensor_path("ait_dump")


def test_names_in_files_of_many(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3), "b.c": torch.ones(2, 2), "d::e": torch.zeros(0)}
    safetensors.torch.save_file(tensors, tmp_path / "t.safetensors", metadata={"k": "v"})
    torch.save(tensors, tmp_path / "t.pth")
    for file in ("t.safetensors", "t.pth"):
        for name, tensor in tensors.items():
            check_source(open_source(f"{tmp_path / file}::{name}"), tensor)
        with pytest.raises(PairError, match="gone") as caught:
            open_source(f"{tmp_path / file}::gone")
        assert caught.value.reason is Reason.NOT_A_TENSOR
        with pytest.raises(PairError, match=r"3.*\(a, b\.c, d::e\)") as caught:
            open_source(str(tmp_path / file))
        assert caught.value.reason is Reason.NOT_A_TENSOR


# -- what is refused


def refusal(path: Path) -> PairError:
    """The error that opening `path` gives; it names the file."""
    with pytest.raises(PairError) as caught:
        open_source(str(path))
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"weight": torch.ones(2), "bias": torch.ones(1)}, "a dict of 2 (weight, bias)"),
        ({str(n): n for n in range(9)}, "a dict of 9 (0, 1, 2, 3, 4, …)"),
        ([torch.ones(2), torch.ones(1)], "a list of 2"),
        ((torch.ones(2),), "a tuple of 1"),
        (None, "NoneType"),
        (3.5, "float"),
        (torch.eye(3).to_sparse(), "sparse"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_pth_that_holds_something_else(
    value: object, words: str, zipped: bool, tmp_path: Path
) -> None:
    torch.save(value, tmp_path / "t.pth", _use_new_zipfile_serialization=zipped)
    error = refusal(tmp_path / "t.pth")
    assert error.reason is Reason.NOT_A_TENSOR
    assert words in str(error)


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pth_is_not_run(zipped: bool, tmp_path: Path) -> None:
    bomb = tmp_path / "it ran"
    torch.save(Evil(str(bomb)), tmp_path / "t.pth", _use_new_zipfile_serialization=zipped)
    error = refusal(tmp_path / "t.pth")
    assert error.reason is Reason.UNSAFE_PICKLE
    assert "weights_only" not in str(error)  # never advise to load it unsafely
    assert not bomb.exists()


def test_plain_pickle_is_not_run_either(tmp_path: Path) -> None:
    bomb = tmp_path / "it ran"
    (tmp_path / "t.pth").write_bytes(pickle.dumps(Evil(str(bomb)), protocol=2))
    assert refusal(tmp_path / "t.pth").reason is Reason.UNSAFE_PICKLE
    assert not bomb.exists()


def test_compressed_pth_is_refused_not_misread(tmp_path: Path) -> None:
    plain = io.BytesIO()
    torch.save(torch.zeros(1000), plain)
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(tmp_path / "t.pth", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry), zipfile.ZIP_DEFLATED)
    error = refusal(tmp_path / "t.pth")
    assert error.reason is Reason.PTH_MALFORMED
    assert "compressed" in str(error)


def test_zip_that_torch_did_not_write(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.pth", "w") as archive:
        archive.writestr("hello", "world")
    assert refusal(tmp_path / "t.pth").reason is Reason.PTH_MALFORMED


@pytest.mark.parametrize("format_name", SAVERS)
def test_every_cut_is_an_error_never_other_values(format_name: str, tmp_path: Path) -> None:
    suffix, save = SAVERS[format_name]
    path = tmp_path / f"t{suffix}"
    save(path, torch.arange(40.0))
    whole = path.read_bytes()
    for length in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        reason = refusal(path).reason
        # The pickle of a legacy file can be cut so that it names another class.
        cut_name = format_name == "legacy" and reason is Reason.UNSAFE_PICKLE
        assert cut_name or reason.endswith(("_MALFORMED", "_TRUNCATED"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("format_name", SAVERS)
def test_damage_is_an_error_or_values_never_a_crash(format_name: str, tmp_path: Path) -> None:
    suffix, save = SAVERS[format_name]
    path = tmp_path / f"t{suffix}"
    save(path, torch.arange(10.0))
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(PairError):
            source = open_source(str(path))
            source.read(0, source.elements)


def npy(header: str, data: bytes = bytes(40)) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.NPY_MALFORMED),
        (b"hello", Reason.NPY_MALFORMED),
        (b"PK\x03\x04 cut off", Reason.NOT_A_TENSOR),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (11,), }"), Reason.NPY_MALFORMED),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), Reason.NPY_MALFORMED),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9"), Reason.NPY_MALFORMED),
        (npy("{'descr': '<f4', 'shape': (10,), }"), Reason.NPY_MALFORMED),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), Reason.NPY_MALFORMED),
        (
            npy("{'descr': '<c8', 'fortran_order': False, 'shape': (5,), }"),
            Reason.DTYPE_UNSUPPORTED,
        ),
        (
            npy("{'descr': '<U1', 'fortran_order': False, 'shape': (5,), }"),
            Reason.DTYPE_UNSUPPORTED,
        ),
        (
            npy("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (5,)}"),
            Reason.DTYPE_UNSUPPORTED,
        ),
    ],
)
def test_refused_npy(content: bytes, reason: Reason, tmp_path: Path) -> None:
    (tmp_path / "t.npy").write_bytes(content)
    assert refusal(tmp_path / "t.npy").reason is reason


def test_archives_and_object_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.ones(2))
    assert refusal(tmp_path / "t.npz").reason is Reason.FORMAT_UNKNOWN
    (tmp_path / "t.npz").rename(tmp_path / "t.npy")
    assert refusal(tmp_path / "t.npy").reason is Reason.NOT_A_TENSOR
    bomb = tmp_path / "it ran"
    np.save(tmp_path / "o.npy", np.array([Evil(str(bomb))], object), allow_pickle=True)
    assert refusal(tmp_path / "o.npy").reason is Reason.NPY_MALFORMED
    assert not bomb.exists()
    with pytest.raises(PairError, match="golden holds NumPy object"):
        from_array(np.array([None]), "golden")


def safetensors_file(
    header: object, data: bytes = bytes(40), *, length: int | None = None
) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def member(**changes: object) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]} | changes}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        safetensors_file(member(), length=2**63),  # a header longer than the file
        safetensors_file(b"{"),
        safetensors_file(b"\xff"),
        safetensors_file(b"[" * 100_000),
        safetensors_file([]),
        safetensors_file({"a": 5}),
        safetensors_file({"a": {}}),
        safetensors_file(member(), bytes(39)),  # data cut off
        safetensors_file(member(shape=[11])),
        safetensors_file(member(shape=[-2, -5])),  # whose product agrees
        safetensors_file(member(shape=[2.0, 5.0])),
        safetensors_file(member(shape="ab")),
        safetensors_file(member(shape=10)),
        safetensors_file(member(shape=[True] * 3 + [10])),
        safetensors_file(member(shape=[1] * 70 + [10])),  # more dimensions than an array has
        safetensors_file(member(shape=[0, 10**30], data_offsets=[0, 0])),
        safetensors_file(member(data_offsets=[-40, 0])),
        safetensors_file(member(data_offsets=[0.0, 40.0])),
        safetensors_file(member(data_offsets=[40, 0])),
        safetensors_file(member(data_offsets=[1, 41])),
        safetensors_file(member(data_offsets=[0])),
        safetensors_file(member(dtype=["F32"])),
    ],
)
def test_safetensors_that_lie(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(content)
    assert refusal(tmp_path / "t.safetensors").reason is Reason.SAFETENSORS_MALFORMED


def test_safetensors_without_a_tensor(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(safetensors_file({"__metadata__": {}}, b""))
    assert refusal(tmp_path / "t.safetensors").reason is Reason.NOT_A_TENSOR


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("format_name", SAVERS)
def test_complex_is_an_error_that_says_so(
    format_name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    if format_name == "safetensors" and dtype is torch.complex128:
        pytest.skip("safetensors has no such type")
    with pytest.raises(PairError, match=r"complex|C64") as caught:
        saved(format_name, tmp_path, torch.ones(2, dtype=dtype))
    assert caught.value.reason is Reason.DTYPE_UNSUPPORTED


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
