"""Whatever bytes a file has, its reader answers with values or with a PairError."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp.mapping import MAPPINGS, Wish
from ait_cmp.source import open_source
from ait_cmp.values.errors import PairError, UsageError
from tests.formats import WAYS
from tests.hostile import (
    REBUILD,
    STORAGE,
    bin_header,
    npy_file,
    npz_file,
    safetensors_file,
    tensor_pickle,
    zip_file,
)

# scripts/fuzz.py goes on for as long as one likes.
MANY = settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 8, 2**31, 2**62, 2**63, 10**19])
VALUES: st.SearchStrategy[object] = (
    st.sampled_from([None, True, 2.5, "", "2", "F32", "<f4", [], [2], [0, 8], {}]) | NUMBERS
)
LISTS = st.lists(NUMBERS, max_size=4)
DATA = st.binary(max_size=12)
PIECES = st.tuples(st.integers(0, 2000), st.integers(0, 20), st.binary(max_size=8))


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """`whole` with pieces cut out, and others put there."""

    def damage(pieces: list[tuple[int, int, bytes]]) -> bytes:
        content = whole
        for place, length, piece in pieces:
            place %= len(content) + 1
            content = content[:place] + piece + content[place + length :]
        return content

    return st.lists(PIECES, max_size=3).map(damage)


def saved(format_name: str) -> bytes:
    """A valid file."""
    # A checksum would keep most damage out of the pickle.
    torch.serialization.set_crc32_options(False)
    with tempfile.TemporaryDirectory() as folder:
        path = WAYS[format_name].file(Path(folder), torch.arange(6.0).reshape(2, 3).t())
        torch.serialization.set_crc32_options(True)
        return path.read_bytes()


BIN = st.builds(
    lambda changes, data: bin_header(**{"data": None} | changes) + data,
    st.dictionaries(
        st.sampled_from(["object_Length", "object_data", "dims", "dtype", "format", "data"]),
        VALUES | LISTS.map(lambda numbers: ",".join(map(str, numbers))),
        max_size=3,
    ),
    DATA,
)
NPY = st.builds(
    lambda descr, order, shape, data: npy_file(
        repr({"descr": descr, "fortran_order": order, "shape": shape}), data
    ),
    st.sampled_from(["<f4", ">f8", "|b1", "|O", "<U3", "?", "=i8", "V2"]) | VALUES,
    st.booleans() | VALUES,
    LISTS.map(tuple) | VALUES,
    DATA,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BOOL", "F3"]) | VALUES,
        "shape": LISTS | VALUES,
        "data_offsets": LISTS | VALUES,
    }
)
SAFETENSORS = st.builds(
    safetensors_file, st.dictionaries(st.sampled_from("ab"), ENTRY | VALUES), DATA
)
SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 2**31, 2**62, 2**63]), max_size=4).map(tuple)
OPCODES = st.sampled_from(
    [bytes([code]) for code in b"(.0123QRabdeglpstu}])N\x85\x86\x87\x88\x89"]
    + [b"K\x00", b"h\x00", b"q\x00", b"X\x01\x00\x00\x00a", b"ctorch\nSize\n", b"\x8a\x00"]
    + [REBUILD, STORAGE, b"X\x07\x00\x00\x00storage", b"ctorch\nFloatStorage\n"]
)
PTH = st.builds(
    lambda shape, strides, offset, count, data: zip_file(
        tensor_pickle(shape, strides, offset=offset, count=count), data
    ),
    SIZES,
    SIZES,
    NUMBERS,
    NUMBERS,
    DATA,
) | st.lists(OPCODES | st.binary(max_size=3), max_size=20).map(
    lambda opcodes: zip_file(b"\x80\x02" + b"".join(opcodes) + b".")
)


def check(path: Path, content: bytes) -> None:
    """Open the file and read it: values, or an error that is told."""
    path.write_bytes(content)
    with contextlib.suppress(PairError):
        source = open_source(str(path))
        source.read(0, min(source.elements, 1000))


@MANY
@given(content=BIN | damaged(saved("bin")) | DATA)
def test_bin(content: bytes, tmp_path: Path) -> None:
    check(tmp_path / "t.bin", content)


@MANY
@given(content=NPY | damaged(saved("npy")) | DATA)
def test_npy(content: bytes, tmp_path: Path) -> None:
    check(tmp_path / "t.npy", content)


@MANY
@given(content=NPY.map(npz_file) | damaged(saved("npz")) | DATA)
def test_npz(content: bytes, tmp_path: Path) -> None:
    check(tmp_path / "t.npz", content)


@MANY
@given(content=SAFETENSORS | damaged(saved("safetensors")) | DATA)
def test_safetensors(content: bytes, tmp_path: Path) -> None:
    check(tmp_path / "t.safetensors", content)


@MANY
@given(content=PTH | damaged(saved("pth")) | damaged(saved("legacy")) | DATA)
def test_pth(content: bytes, tmp_path: Path) -> None:
    check(tmp_path / "t.pth", content)


TOKENS = st.dictionaries(
    st.sampled_from(["0", "1", "01", "-1", "x", "\ud800"]), VALUES | st.lists(VALUES, max_size=3)
)
MAPPING = st.dictionaries(st.sampled_from(["a", "b", "", "\0"]), TOKENS | VALUES).map(
    lambda value: json.dumps(value).encode()
)


@MANY
@given(content=MAPPING | damaged(b'{"a": {"0": ["g", "m"], "1": ["g", "m"]}, "b": {}}') | DATA)
def test_mapping(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_bytes(content)
    with contextlib.suppress(UsageError):
        MAPPINGS["metadata"](Wish(str(tmp_path)))
