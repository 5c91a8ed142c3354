"""What is remembered of files: each container parsed once, files alike taken apart once."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ait_cmp.files import OpenFile, local, open_file
from ait_cmp.source import npz, open_source, pth, tensor_bytes
from ait_cmp.source import safetensors as safetensors_source
from ait_cmp.source.alike import AlikeZips
from ait_cmp.source.containers import Containers
from ait_cmp.values.errors import PairError, Reason
from tests.formats import save_many_npz

Save = Callable[[dict[str, torch.Tensor], Path], None]


def save_legacy(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def save_arrays(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_many_npz(path, tensors)


SAVE: dict[str, tuple[Save, object]] = {
    "m.safetensors": (safetensors.torch.save_file, safetensors_source),
    "m.npz": (save_arrays, npz),
    "m.pth": (torch.save, pth),
    "m.pt": (save_legacy, pth),
}


@pytest.fixture(autouse=True)
def _files_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written just now is not remembered, since its times may not tell it apart."""
    monkeypatch.setattr(local, "_CLOCK_TICK", -(10**9))


@pytest.fixture(params=SAVE)
def container(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Save, list[str]]:
    """A file of many tensors, what saves one, and the paths that were parsed."""
    save, module = SAVE[request.param]
    parsed: list[str] = []
    parse = module._read  # type: ignore[attr-defined]

    def count(file: OpenFile) -> object:
        parsed.append(file.path)
        return parse(file)

    monkeypatch.setattr(module, "_CONTAINERS", Containers(count))
    path = tmp_path / request.param
    save({str(number): torch.full((50,), number) for number in range(500)}, path)
    return path, save, parsed


def test_many_tensors_are_parsed_once(container: tuple[Path, Save, list[str]]) -> None:
    path, _, parsed = container
    for number in range(500):
        assert open_source(f"{path}::{number}").read(0, 50).tolist() == [number] * 50
    assert parsed == [str(path)]


def test_many_tensors_are_counted_once(container: tuple[Path, Save, list[str]]) -> None:
    path, _, parsed = container
    assert sum(tensor_bytes(f"{path}::{number}") for number in range(500)) == 500 * 50 * 8
    assert parsed == [str(path)]
    assert tensor_bytes(str(path)) == path.stat().st_size
    with pytest.raises(PairError, match="gone"):
        tensor_bytes(f"{path}::gone")
    with pytest.raises(FileNotFoundError):
        tensor_bytes(f"{path.with_name('gone.pth')}::x")


def test_a_container_that_changes_is_parsed_again(container: tuple[Path, Save, list[str]]) -> None:
    path, save, parsed = container
    assert open_source(f"{path}::1").read(0, 1).tolist() == [1]
    save({"1": torch.full((50,), 7), "new": torch.ones(2)}, path)
    assert open_source(f"{path}::1").read(0, 1).tolist() == [7]
    assert open_source(f"{path}::new").shape == (2,)
    with pytest.raises(PairError, match="nothing named '2'"):
        open_source(f"{path}::2")
    assert parsed == [str(path)] * 2
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(PairError) as caught:
        open_source(f"{path}::1")
    assert caught.value.reason.endswith("_MALFORMED")


def test_a_container_that_may_still_be_written_is_parsed_each_time(
    container: tuple[Path, Save, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Within one tick of the file system's clock, its state would be the same.
    path, save, parsed = container
    monkeypatch.setattr(local, "_CLOCK_TICK", 10**12)
    for number in (5, 6):
        save({str(n): torch.full((50,), number) for n in range(500)}, path)
        assert open_source(f"{path}::1").read(0, 1).tolist() == [number]
    assert len(parsed) == 2


def test_few_containers_are_remembered(tmp_path: Path) -> None:
    parsed: list[str] = []
    containers = Containers(lambda file: parsed.append(Path(file.path).name), most=2)
    for name in "abcabb":
        (tmp_path / name).touch()
    for name in "abcabb":
        containers.content(open_file(str(tmp_path / name)))
    # c pushed out a, a pushed out b, b pushed out c.
    assert "".join(parsed) == "abcab"


# -- files alike


def outcome(path: Path) -> object:
    """What opening gives: the header, or the error's code."""
    try:
        return pth.read_pth(open_file(str(path)), None)
    except PairError as exc:
        return exc.reason


@pytest.fixture
def two_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two files of one shape, the first of them read already."""
    monkeypatch.setattr(pth, "_ALIKE", AlikeZips())
    paths = tmp_path / "layer1.q.pth", tmp_path / "layer2.k.pth"
    for number, path in enumerate(paths):
        torch.save(torch.randn(5, 3, generator=torch.Generator().manual_seed(number)), path)
    outcome(paths[0])
    return paths


def test_a_file_alike_is_not_taken_apart_again(
    two_alike: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pth, "read_directory", None)
    for path in two_alike:
        source = open_source(str(path))
        assert source.read(0, 15).tobytes() == torch.load(path).numpy().tobytes()


def test_every_byte_that_tells_is_looked_at(
    two_alike: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever a byte is changed to, a file that is remembered answers as one that is not.
    path = two_alike[1]
    whole, rng = path.read_bytes(), random.Random(0)
    known = pth._ALIKE
    for place in range(len(whole)):
        value = whole[place] ^ (1 << rng.randrange(8))
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        monkeypatch.setattr(pth, "_ALIKE", AlikeZips())
        afresh = outcome(path)
        monkeypatch.setattr(pth, "_ALIKE", known)
        assert outcome(path) == afresh, place


def test_the_folder_of_all_entries_must_be_one(two_alike: tuple[Path, Path]) -> None:
    whole = two_alike[1].read_bytes()
    for old, new in [(b"layer2.k", b"layer2/k"), (b"layer2.k", b"layer3.x")]:
        two_alike[1].write_bytes(whole.replace(old, new))
        assert (outcome(two_alike[1]) is Reason.PTH_MALFORMED) == (b"/" in new)
    two_alike[1].write_bytes(whole.replace(b"layer2.k", b"layer3.x", 1))
    assert outcome(two_alike[1]) is Reason.PTH_MALFORMED


def test_few_files_alike_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pth, "_ALIKE", AlikeZips(most=3))
    for size in range(1, 10):
        torch.save(torch.zeros(size), tmp_path / "t.pth")
        outcome(tmp_path / "t.pth")
    assert len(pth._ALIKE._known) == 3
