"""`.npy` files: what the format can say, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from ait_cmp.source import from_array, open_source
from ait_cmp.values.errors import PairError, Reason
from tests.formats import refusal
from tests.test_pth import Evil
from tests.test_sources import check_source


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i8", ">u2", "<f4", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_byte_and_index_order(dtype: str, order: Any, tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.save(tmp_path / "t.npy", np.asarray(array, order=order))
    native = array.astype(np.dtype(dtype).newbyteorder("="))
    check_source(open_source(str(tmp_path / "t.npy")), torch.from_numpy(native))
    check_source(from_array(np.asarray(array, order=order), "my"), torch.from_numpy(native))


def test_types_of_ml_dtypes_are_read_or_refused_with_the_way_out(tmp_path: Path) -> None:
    """As JAX and TensorFlow save them: NumPy itself takes these for bytes."""
    numbers = np.linspace(-2, 2, 24).reshape(2, 3, 4)
    for name in ("bfloat16", "float8_e5m2"):
        array = numbers.astype(getattr(ml_dtypes, name))
        for order in ("C", "F"):
            np.save(tmp_path / "t.npy", np.asarray(array, order=order))
            expected = torch.from_numpy(array.astype("f4")).to(getattr(torch, name))
            check_source(open_source(str(tmp_path / "t.npy")), expected)
    for name in ("float8_e4m3fn", "float8_e4m3fnuz", "int4", "float8_e8m0fnu"):
        np.save(tmp_path / "t.npy", np.ones(3).astype(getattr(ml_dtypes, name)))
        error = refusal(tmp_path / "t.npy")
        assert error.reason is Reason.DTYPE_UNSUPPORTED
        assert "not supported; save its .astype('float32')" in str(error)


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
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), Reason.DTYPE_UNSUPPORTED),
        (
            npy("{'descr': '<c32', 'fortran_order': False, 'shape': (5,), }"),
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
    (tmp_path / "t.npz").rename(tmp_path / "t.npy")
    error = refusal(tmp_path / "t.npy")
    assert error.reason is Reason.NOT_A_TENSOR
    assert "call it .npz" in str(error)
    bomb = tmp_path / "it ran"
    np.save(tmp_path / "o.npy", np.array([Evil(str(bomb))], object), allow_pickle=True)
    assert refusal(tmp_path / "o.npy").reason is Reason.DTYPE_UNSUPPORTED
    assert not bomb.exists()
    with pytest.raises(PairError, match="golden holds NumPy object"):
        from_array(np.array([None]), "golden")
