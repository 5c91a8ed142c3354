"""What is written comes in the place of what lies there, and goes through no link."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.dump.metadata_file import MetadataFile
from ait_cmp.dump.reason_file import write_reason
from ait_cmp.files.output import new_whole, write_whole
from ait_cmp.new_file import in_place_of, is_made, new_beside

ONE = torch.ones(2)


def _write_new_whole(place: Path) -> None:
    with new_whole(place) as file:
        file.write(b"rows")


WRITERS: dict[str, Callable[[Path], None]] = {
    "bin": lambda place: write_bin(place, ONE),
    "metadata": lambda place: MetadataFile(place).add("a", 0, "g", "m"),
    "reason": lambda place: write_reason(str(place).removesuffix(".failed"), "why"),
    "report": lambda place: write_whole(place, "text"),
    "run": _write_new_whole,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_in_the_place_is_replaced(writer: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    place = tmp_path / "out" / "x.failed"
    place.parent.mkdir()
    place.symlink_to(precious)
    WRITERS[writer](place)
    assert precious.read_text() == "mine"
    assert not place.is_symlink()
    assert os.listdir(place.parent) == [place.name]


def test_dump_data_writes_through_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    dump_data(0, "a", ONE, "a.bin", tmp_path)
    (folder,) = tmp_path.glob("ait_dump/*/golden_tensor/0")
    for name in ("b_tensor.pth", "metadata.json.tmp"):
        (folder / name).symlink_to(precious)
        (folder.parent / name).symlink_to(precious)
    dump_data(0, "b", 2 * ONE, "b.bin", tmp_path)
    assert precious.read_text() == "mine"
    assert torch.equal(torch.load(folder / "b_tensor.pth", weights_only=True), 2 * ONE)


def test_what_is_there_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert not is_made(str(tmp_path / "link"))
    assert is_made(str(tmp_path / "new"))
    assert not is_made(str(tmp_path / "new"))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["a", "x" * 255, "数" * 85, os.fsdecode(b"\xff" * 120)])
def test_temporary_names_are_unlike_each_other_and_fit(name: str, tmp_path: Path) -> None:
    one, two = (new_beside(str(tmp_path / name)) for _ in range(2))
    assert one != two
    assert Path(one).read_bytes() == b""


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_text("old")
    with pytest.raises(FileNotFoundError), in_place_of(str(place)) as temporary:
        os.rename(temporary, tmp_path / "half")
    (tmp_path / "half").unlink()
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]
