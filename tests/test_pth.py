"""`.pth` files: flags of a tensor, and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ait_cmp.files import OpenFile, open_file
from ait_cmp.source import open_source, pth, tensor_names
from ait_cmp.values.errors import PairError, Reason
from tests.formats import WAYS, flat_bits, refusal
from tests.hostile import number, zip_file
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
    assert error.reason is Reason.NOT_SUPPORTED
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


@pytest.mark.parametrize("zipped", [True, False])
def test_conjugated_tensors_are_read_as_what_they_are(zipped: bool, tmp_path: Path) -> None:
    numbers = torch.complex(torch.randn(4, 3), torch.randn(4, 3))
    for view in (
        numbers.conj(),
        numbers.conj().T,
        numbers[1:].conj(),
        torch._neg_view(numbers.conj()),
    ):
        torch.save(view, tmp_path / "t.pth", _use_new_zipfile_serialization=zipped)
        source = open_source(str(tmp_path / "t.pth"))
        expected = torch.view_as_real(view.resolve_conj().resolve_neg())
        check_source(source, expected)
        # An adapter that moves the parts to the front.
        turned = source.seen_as(lambda array: array.transpose(2, 0, 1))
        assert turned is None
        copied = source.unmapped()
        flat = copied.read(0, copied.elements)
        assert flat.tobytes() == flat_bits(expected).tobytes()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_that_torch_can_be_asked_for(
    zipped: bool, protocol: int, tmp_path: Path
) -> None:
    value: dict[str, object] = {
        "w": torch.arange(3),
        "nested": {"list": [torch.ones(2), {"deep.er": torch.zeros(1)}], 3: torch.ones(1)},
        "beside": {"text": "x", "bytes": b"x", "set": {1, 2}, "step": 5, "complex": 1j},
    }
    path = tmp_path / "t.pt"
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert tensor_names(str(path)) == ["w", "nested.list.0", "nested.list.1.deep.er", "nested.3"]
    check_source(open_source(f"{path}::nested.list.0"), torch.ones(2))
    check_source(open_source(f"{path}::w"), torch.arange(3))


def test_names_that_a_dot_makes_alike_lose_no_tensor(tmp_path: Path) -> None:
    value = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), 7: torch.ones(2), "7": torch.ones(3)}
    torch.save(value, tmp_path / "t.pt")
    assert tensor_names(str(tmp_path / "t.pt")) == ["a.b", "a.b#1", "7", "7#1"]
    for name, tensor in [("a.b", torch.zeros(1)), ("a.b#1", torch.ones(1)), ("7#1", torch.ones(3))]:
        check_source(open_source(f"{tmp_path}/t.pt::{name}"), tensor)


def test_a_state_dict_of_many_tensors_is_read(tmp_path: Path) -> None:
    """Beyond 5,000, torch.save writes more than a megabyte about them."""
    tensors = {
        f"model.layers.{n}.mlp.experts.up_proj.weight": torch.full((2,), n) for n in range(9216)
    }
    for zipped in (True, False):
        torch.save(tensors, tmp_path / "t.pt", _use_new_zipfile_serialization=zipped)
        assert tensor_names(str(tmp_path / "t.pt")) == list(tensors)
        source = open_source(f"{tmp_path}/t.pt::model.layers.9000.mlp.experts.up_proj.weight")
        assert source.read(0, 2).tolist() == [9000, 9000]


def save_script(path: Path) -> None:
    """An archive of torch.jit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), str(path))


def save_plain_pickle(path: Path) -> None:
    """As pickle does, not torch."""
    path.write_bytes(pickle.dumps({"step": 3}, protocol=4))


def save_arrays(path: Path) -> None:
    """An .npz that is called .pt."""
    with path.open("wb") as file:
        np.savez(file, w=np.ones(2))


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (save_script, "torch.jit.load(path).state_dict()"),
        (save_plain_pickle, "it is a plain pickle; save its value with torch.save"),
        (save_arrays, "call it .npz"),
        (lambda path: torch.save({(1, 2): torch.ones(2)}, path), "a key that is no text or number"),
    ],
)
def test_what_is_not_supported_is_not_called_damaged(
    save: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    save(tmp_path / "t.pt")
    error = refusal(tmp_path / "t.pt")
    assert error.reason is Reason.NOT_SUPPORTED
    assert "is not supported: " in str(error)
    assert words in str(error)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_tensors_of_other_kinds_in_a_dict_are_listed_with_the_way_out(tmp_path: Path) -> None:
    value = {"sparse": torch.eye(2).to_sparse(), "w": torch.ones(2), "device": torch.device("cpu")}
    torch.save(value, tmp_path / "t.pt")
    assert tensor_names(str(tmp_path / "t.pt")) == ["sparse", "w"]
    with pytest.raises(PairError, match=r"save it dense: \.to_dense\(\)") as caught:
        open_source(f"{tmp_path}/t.pt::sparse")
    assert caught.value.reason is Reason.NOT_A_TENSOR


@pytest.mark.parametrize(
    "opcodes",
    [
        b"]q\x00h\x00a",  # a list in itself
        # Each dict holds the one before it a hundred times.
        b"}q\x00"
        + b"".join(
            b"}("
            + b"".join(number(key) + b"h" + bytes([level]) for key in range(100))
            + b"uq"
            + bytes([level + 1])
            for level in range(20)
        ),
    ],
)
def test_containers_without_end_are_refused_at_once(opcodes: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.pt").write_bytes(zip_file(b"\x80\x02" + opcodes + b"."))
    with pytest.raises(PairError, match="in each other without end") as caught:
        tensor_names(str(tmp_path / "t.pt"))
    assert caught.value.reason is Reason.NOT_SUPPORTED


def test_a_file_like_others_of_one_tensor_is_listed_by_its_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = [torch.arange(12.0).reshape(3, 4) + number for number in range(3)]
    others = {"a": alike[0], "b": {"c": alike[1]}}
    # What two tensors begin with is what one does.
    values = [alike[0], others, (alike[0], alike[1]), *alike[1:], [alike[0]]]
    paths = [tmp_path / f"{number}.pt" for number in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        torch.save(value, path)
    opened: list[str] = []

    def opening(path: str) -> OpenFile:
        opened.append(path)
        return open_file(path)

    monkeypatch.setattr(pth, "open_file", opening)
    found = [tensor_names(str(path)) for path in paths]
    assert found == [None, ["a", "b.c"], ["0", "1"], None, None, ["0"]]
    assert opened == [str(paths[place]) for place in (0, 1, 2, 5)]


def test_a_file_that_only_begins_like_another_is_not_whole(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.pt", tmp_path / "cut.pt"
    torch.save(torch.arange(5.0), whole)
    assert tensor_names(str(whole)) is None
    cut.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(PairError) as caught:
        tensor_names(str(cut))
    assert caught.value.reason is Reason.PTH_MALFORMED
