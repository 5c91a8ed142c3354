"""Paths of this machine, and what every scheme keeps; those of stores: tests_remote."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import ait_cmp
from ait_cmp.files import (
    SCHEMES,
    Entry,
    FileState,
    OpenFile,
    confined_to,
    ends_of,
    exists,
    file_numbers,
    is_file,
    is_folder,
    list_folder,
    local,
    look_at,
    names_in,
    open_file,
    read_small,
    real_path,
    same_file,
    state_of,
)
from ait_cmp.source import open_source, tensor_bytes
from ait_cmp.values.errors import PairError, Reason
from tests.formats import WAYS, Way

# Scheme -> how the path of a file in a test's own folder is spelled.
PATHS: dict[str, Callable[[Path], str]] = {"": str}
SIZES = [0, 1, 4096, (64 << 10) + 1, 3 << 20]  # read whole, and not
RNG = os.urandom(3 << 20)


@pytest.fixture(params=PATHS)
def spell(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """How a path is spelled in one scheme of the table."""
    return PATHS[request.param]


Spell = Callable[[Path], str]


def refusal(action: Callable[[str], object], path: str) -> Reason:
    """The code of the error that names the path."""
    with pytest.raises(PairError) as caught:
        action(path)
    assert path in str(caught.value)
    return caught.value.reason


# -- reading


@pytest.mark.parametrize("size", SIZES)
def test_ranges_are_those_of_the_file(size: int, spell: Spell, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(RNG[:size])
    file = open_file(spell(tmp_path / "f"))
    assert (file.path, file.size, file.state) == (
        spell(tmp_path / "f"),
        size,
        state_of(spell(tmp_path / "f")),
    )
    for start, length in [(0, size), (0, 0), (size, 0), (size // 3, size // 2)]:
        assert file.read(start, length) == RNG[start : start + length]
    if size:
        assert bytes(file.map()[:]) == RNG[:size]


@pytest.mark.parametrize("size", SIZES)
def test_concurrent_reads(size: int, spell: Spell, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(RNG[:size])
    file = open_file(spell(tmp_path / "f"))
    bounds = [(start * size // 64, size // 64) for start in range(64)] * 4
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda bound: file.read(*bound), bounds))
    assert parts == [RNG[start : start + length] for start, length in bounds]


@pytest.mark.parametrize("size", SIZES)
def test_what_ends_early_is_an_error(size: int, spell: Spell, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(RNG[:size])
    file = open_file(spell(path))
    assert refusal(lambda _: file.read(size - 1, 2), spell(path)) is Reason.IN_TRUNCATED
    if size > 64 << 10:
        os.truncate(path, 100)
        assert refusal(lambda _: file.read(0, size), spell(path)) is Reason.IN_TRUNCATED


def test_a_file_that_is_replaced_is_read_to_its_end(spell: Spell, tmp_path: Path) -> None:
    path, other = tmp_path / "f", tmp_path / "other"
    for size in SIZES[1:]:
        path.write_bytes(RNG[:size])
        other.write_bytes(bytes(size))
        file = open_file(spell(path))
        other.replace(path)
        assert file.read(0, size) == RNG[:size]
        assert file.state != state_of(spell(path))


def test_many_open_small_files_hold_no_descriptors(spell: Spell, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    files = [open_file(spell(tmp_path / "f")) for _ in range(100)]
    assert len(os.listdir("/proc/self/fd")) < before + 50
    assert len(files) == 100


# -- states


def test_states_are_values(spell: Spell, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    state = state_of(spell(tmp_path / "f"))
    assert pickle.loads(pickle.dumps(state)) == state
    assert {state: 1}[state_of(spell(tmp_path / "f"))] == 1
    assert (state.path, state.size) == (spell(tmp_path / "f"), 1)


def test_another_content_is_another_state(spell: Spell, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    states = {state_of(spell(path))}
    path.write_bytes(b"xy")
    states.add(state_of(spell(path)))
    time.sleep(0.02)  # the kernel's clock ticks
    path.write_bytes(b"yx")
    states.add(state_of(spell(path)))
    (tmp_path / "other").write_bytes(b"yx")
    (tmp_path / "other").replace(path)
    states.add(state_of(spell(path)))
    assert len(states) == 4


def test_only_old_files_are_settled(
    spell: Spell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written twice within a tick of the clock, a file has one state and two contents.
    (tmp_path / "f").write_bytes(b"x")
    assert not open_file(spell(tmp_path / "f")).is_settled
    monkeypatch.setattr(local, "_CLOCK_TICK", -1)
    assert open_file(spell(tmp_path / "f")).is_settled


# -- what is no file


@pytest.mark.parametrize("name", ["gone", "gone/below"])
def test_what_is_not_there(name: str, spell: Spell, tmp_path: Path) -> None:
    path = spell(tmp_path / name)
    for action in (open_file, list_folder, state_of):
        with pytest.raises(FileNotFoundError):
            action(path)
    assert look_at(path) is None
    assert not exists(path)
    assert not is_file(path)
    assert not is_folder(path)


def test_a_fifo_a_device_and_a_folder_are_refused_at_once(spell: Spell, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    found: list[Reason] = []

    def run() -> None:
        found.extend(
            refusal(open_file, spell(tmp_path / name)) for name in ("fifo", "folder", "null")
        )

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert found == [Reason.NOT_A_FILE] * 3
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(open_file, spell(tmp_path / "loop")) is Reason.FILE_UNREADABLE
    assert not exists(spell(tmp_path / "loop"))
    assert refusal(list_folder, spell(tmp_path / "fifo")) is Reason.FILE_UNREADABLE


@pytest.mark.parametrize("name", ["nul\0", "lone\ud800", "x" * 5000, ""])
def test_what_cannot_be_a_path(name: str, spell: Spell, tmp_path: Path) -> None:
    path = spell(tmp_path) + "/" + name + "/f"
    for action in (open_file, list_folder):
        with pytest.raises((PairError, FileNotFoundError)):
            action(path)
    with pytest.raises(OSError):  # noqa: PT011 - any
        state_of(path)
    assert not exists(path)


def test_roots(spell: Spell, tmp_path: Path) -> None:
    for name in ("in", "in_not"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"x")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in_not" / "f")
    with confined_to([str(tmp_path / "in")]):
        assert open_file(spell(tmp_path / "in" / "f")).read(0, 1) == b"x"
        for name in ("in_not/f", "in/link", "in/../in_not/f"):
            assert refusal(open_file, spell(tmp_path / name)) is Reason.OUTSIDE_ROOTS
    assert open_file(spell(tmp_path / "in_not" / "f")).size == 1


def test_a_root_in_a_bucket_leaves_the_others_as_they_are(spell: Spell, tmp_path: Path) -> None:
    tree(tmp_path, "in/f", "in_not/f")
    with confined_to(["s3://bucket/dumps", str(tmp_path / "in")]):
        assert open_file(spell(tmp_path / "in" / "f")).size == 4
        assert ends_of(spell(tmp_path / "in" / "f"), 3, 1) == (b"in/", b"f")
        assert names_in(spell(tmp_path / "in")) == {"f"}
        for action in (open_file, lambda path: ends_of(path, 1, 1)):
            assert refusal(action, spell(tmp_path / "in_not" / "f")) is Reason.OUTSIDE_ROOTS
        assert refusal(list_folder, spell(tmp_path / "in_not")) is Reason.OUTSIDE_ROOTS


def test_roots_bound_what_is_listed(spell: Spell, tmp_path: Path) -> None:
    tree(tmp_path, "in/f", "in/below/g", "in_not/f")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in_not")
    free = list_folder(spell(tmp_path / "in"))
    with confined_to([str(tmp_path / "in")]):
        assert list_folder(spell(tmp_path / "in")) == free
        assert names_in(spell(tmp_path / "in" / "below")) == {"g"}
        for name in ("in_not", "in/link", ".", "in/.."):
            for listing in (list_folder, names_in, file_numbers):
                assert refusal(listing, spell(tmp_path / name)) is Reason.OUTSIDE_ROOTS
    assert len(list_folder(spell(tmp_path))) == 2


# -- folders


def tree(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_a_folder_is_listed_by_name(spell: Spell, tmp_path: Path) -> None:
    tree(tmp_path, "b", "a/x", "c")
    (tmp_path / "d").symlink_to("a")
    (tmp_path / "e").symlink_to("nowhere")
    listed = list_folder(spell(tmp_path))
    plain = [one for one in listed if not one.is_folder]
    assert [one.name for one in plain] == ["b", "c", "e"]
    assert [one.is_file for one in plain] == [True, True, False]
    assert [one.name for one in listed if one.is_folder] == ["a", "d"]
    assert [one.path for one in listed] == [spell(tmp_path / name) for name in "abcde"]
    assert names_in(spell(tmp_path)) == {"a", "b", "c", "d"}
    assert same_file(spell(tmp_path / "a"), spell(tmp_path / "d"))
    assert not same_file(spell(tmp_path / "b"), spell(tmp_path / "c"))
    assert real_path(spell(tmp_path / "d")) == real_path(spell(tmp_path / "a"))
    assert look_at(spell(tmp_path / "b")) == listed[1]
    assert pickle.loads(pickle.dumps(listed)) == listed


def test_two_names_of_one_file_have_one_number(spell: Spell, tmp_path: Path) -> None:
    tree(tmp_path, "a", "b", "below/c")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    numbers = file_numbers(spell(tmp_path))
    assert numbers.keys() == {"a", "b", "hard"}
    assert numbers["a"] == numbers["hard"] != numbers["b"]


def test_a_folder_that_cannot_be_listed(
    spell: Spell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> object:  # root may list everything
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert refusal(list_folder, spell(tmp_path)) is Reason.FILE_UNREADABLE


# -- schemes


@pytest.mark.parametrize("action", [open_file, state_of, list_folder, exists, real_path])
def test_an_unknown_scheme_is_not_supported_rather_than_missing(
    action: Callable[[str], object],
) -> None:
    for path in ("gopher://host/a.pth", "Magnet://a.pth", "file:///tmp/a.pth"):
        assert refusal(action, path) is Reason.SCHEME_UNKNOWN


@pytest.mark.parametrize("name", ["a:b", "3_aten::add", "c:", "s3:a", "12:30", "x/y://z"])
def test_a_colon_in_a_name_is_no_scheme(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, name)
    assert open_file(name).read(0, len(name)) == name.encode()


class InMemory:
    """A scheme of a dict: all that a new one needs."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def open_file(self, path: str, /) -> OpenFile:
        if path not in self._files:
            raise FileNotFoundError(path)
        return InMemoryFile(path, self._files[path])

    def state_of(self, path: str, /) -> FileState:
        return self.open_file(path).state

    def look_at(self, path: str, /) -> Entry | None:
        known = path in self._files
        return Entry(path, path, is_folder=False, is_file=True, identity=path) if known else None

    def list_folder(self, path: str, /) -> list[Entry]:
        return [found for one in sorted(self._files) if (found := self.look_at(one))]

    def real_path(self, path: str, /) -> str:
        return path


class InMemoryFile:
    """One file of it."""

    is_settled = True
    is_mapped = True

    def __init__(self, path: str, content: bytes) -> None:
        self.path = path
        self.content = content
        self.size = len(content)
        self.state = FileState(path, self.size, str(hash(content)))

    def read(self, start: int, length: int) -> bytes:
        return self.content[start : start + length]

    def map(self) -> bytes:
        return self.content

    def copy(self, start: int, length: int, /) -> bytes:
        return self.read(start, length)

    def expect(self, ranges: Sequence[tuple[int, int]], /) -> None:
        pass


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_new_scheme_reads_every_format(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = torch.arange(12).reshape(3, 4)
    path = f"memory://dump/t{way.suffix}"
    scheme = InMemory({path: way.file(tmp_path, tensor).read_bytes()})
    monkeypatch.setitem(SCHEMES, "memory", scheme)
    source = open_source(path)
    assert source.read(0, 12).tolist() == list(range(12))
    assert source.states == (state_of(path),)
    assert tensor_bytes(path) == source.states[0].size
    with pytest.raises(FileNotFoundError):
        open_source(f"memory://gone{way.suffix}")


def test_what_should_be_small_is_not_read_where_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"0123456789")
    assert read_small(str(path), 10) == b"0123456789"
    with pytest.raises(ValueError, match="it has 10 bytes; at most 9 are read"):
        read_small(str(path), 9)
    with path.open("wb") as file:
        file.truncate(1 << 25)
    mine = tmp_path / "mine.csv"
    mine.touch()
    for wanted in ({"tolerance": str(path)}, {"extra_metrics": [f"{path}:snr"]}):
        with pytest.raises(ait_cmp.UsageError, match="at most 16777216 are read"):
            ait_cmp.compare_dumps(golden_path=mine, mapping="pairs", **wanted)
