"""`.pth` files: flags of a tensor, and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from ait_cmp.source import open_source
from ait_cmp.values.errors import Reason
from tests.formats import WAYS, refusal
from tests.test_sources import check_source


@pytest.mark.parametrize("format_name", ["pth", "legacy"])
def test_pth_with_the_negative_bit_is_read_negated(format_name: str, tmp_path: Path) -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    check_source(WAYS[format_name].source(tmp_path, tensor), tensor.resolve_neg())


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


@pytest.mark.parametrize("zipped", [True, False])
def test_pth_that_negates_what_numpy_cannot(zipped: bool, tmp_path: Path) -> None:
    # The bits of a bfloat16, negated as the integer that they stand as, would be another value.
    for dtype, reason in [(torch.int32, None), (torch.bfloat16, Reason.DTYPE_UNSUPPORTED)]:
        tensor = torch._neg_view(torch.arange(1, 5).to(dtype))
        torch.save(tensor, tmp_path / "t.pth", _use_new_zipfile_serialization=zipped)
        if reason is None:
            check_source(open_source(str(tmp_path / "t.pth")), tensor.resolve_neg())
        else:
            error = refusal(tmp_path / "t.pth")
            assert error.reason is reason
            assert "resolve_neg" in str(error)
