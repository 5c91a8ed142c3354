"""The file that fingerprints are in: whole for its own library, also after `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp.fingerprint.container import Container, entries_in, is_lines, lines_of


def contents(path: Path) -> dict[str, bytes]:
    """What the format's own library finds in a file, but for the lines."""
    with safetensors.safe_open(path, "np") as file:
        return {n: file.get_tensor(n).tobytes() for n in file.keys() if not is_lines(n)}  # noqa: SIM118


def own(path: Path) -> dict[str, bytes]:
    """What our reader finds, whatever stands behind the last commit."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    found = entries_in(data[8:begin])
    return {n: data[begin + a : begin + b] for n, (a, b) in found.items() if not is_lines(n)}


blobs = st.dictionaries(st.text(max_size=40), st.binary(max_size=300), max_size=8)


@settings(max_examples=30, deadline=None)
@given(st.lists(blobs, max_size=6))
def test_what_is_committed_is_there_for_every_reader(rounds: list[dict[str, bytes]]) -> None:
    path = Path(os.environ["PYTEST_FILE"])
    file, told = Container(str(path), {"made": 'by a "test"'}), dict[str, bytes]()
    for number, one in enumerate(rounds):
        told |= {file.add(f"{number}/{name}", each): each for name, each in one.items()}
        file.say({"round": number})
        assert not {f"{number}/{name}" for name in one} & set(contents(path))
        file.commit()
        assert contents(path) == own(path) == told
    file.close()
    assert contents(path) == own(path) == told
    assert len(set(told.values())) == len(told)  # each content is there once
    assert list(lines_of(str(path))) == [{"round": number} for number in range(len(rounds))]


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_FILE", str(tmp_path / "a.fp.safetensors"))


def test_names_that_come_again_have_numbers_and_headers_grow(tmp_path: Path) -> None:
    path = tmp_path / "many.fp.safetensors"
    file = Container(str(path))
    names = []
    for number in range(40):
        names += [file.add("x" * 1000, bytes([number, part])) for part in range(3)]
        file.commit()
    assert len(set(names)) == 120
    assert set(contents(path)) == set(names)
    assert contents(path) == own(path)
    size = path.stat().st_size
    file.close()
    assert contents(path) == {n: bytes([i // 3, i % 3]) for i, n in enumerate(names)}
    assert path.stat().st_size < size


WRITER = """
import sys
from ait_cmp.fingerprint.container import Container
file = Container(sys.argv[1])
for number in range(10**6):
    for part in range(50):
        file.add(f"{number}/{part}", b"%d" % number + bytes([part]) * 999)
    file.say({"round": number})
    file.commit()
    print(number, flush=True)
"""


@pytest.mark.parametrize("rounds", [1, 7, 30])
def test_a_file_of_a_killed_process_is_whole_up_to_its_last_round(
    rounds: int, tmp_path: Path
) -> None:
    path = tmp_path / "killed.fp.safetensors"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        while int(run.stdout.readline()) < rounds:
            pass
        run.send_signal(signal.SIGKILL)
    found = own(path)
    numbers = [line["round"] for line in lines_of(str(path))]
    assert len(numbers) > rounds
    assert numbers == list(range(len(numbers)))
    assert found == {f"{n}/{p}": b"%d" % n + bytes([p]) * 999 for n in numbers for p in range(50)}


def test_every_state_between_two_commits_is_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that is killed between any two writes, or in one, leaves it."""
    path = tmp_path / "torn.fp.safetensors"
    file = Container(str(path))
    file.add("first", b"1" * 100)
    file.commit()
    states: list[bytes] = []
    write = os.pwrite

    def torn(number: int, content: memoryview | bytes, place: int) -> int:
        for cut in (1, max(len(content) // 2, 1)):
            write(number, bytes(content)[:cut], place)
            states.append(path.read_bytes())
        return write(number, content, place)

    monkeypatch.setattr(os, "pwrite", torn)
    file.add("second", b"2" * 100)
    file.commit()
    for state in states:
        (tmp_path / "state").write_bytes(state)
        assert own(tmp_path / "state") in ({"first": b"1" * 100}, contents(path))
    assert own(path) == contents(path) == {"first": b"1" * 100, "second": b"2" * 100}


def test_a_full_disk_costs_the_last_commit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "full.fp.safetensors"
    file = Container(str(path))
    file.add("first", b"1" * 100)
    file.commit()
    write, written = os.pwrite, []

    def full(number: int, content: memoryview | bytes, place: int) -> int:
        written.append(place)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return write(number, content, place)

    file.add("second", b"2" * 100)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="space"):
        file.commit()
    assert contents(path) == {"first": b"1" * 100}
    file.commit()
    assert contents(path) == {"first": b"1" * 100, "second": b"2" * 100}


@pytest.mark.parametrize("commits", [0, 1])
def test_of_two_that_write_to_one_place_neither_is_lost(commits: int, tmp_path: Path) -> None:
    path, other = tmp_path / "a.fp.safetensors", tmp_path / "a_1.fp.safetensors"
    files = [Container(str(path)) for _ in range(2)]
    for number, file in enumerate(files):
        file.add("x", b"%d" % number)
        for _ in range(commits):
            file.commit()
    for file in files:
        file.close()
    assert contents(path) == {"x": b"1"}
    assert contents(other) == {"x": b"0"}
    assert files[0].path == str(other)
    again = Container(str(path))  # of a run that begins when both have ended
    again.close()
    assert contents(path) == {}


def test_a_file_that_was_deleted_comes_again_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.fp.safetensors"
    file = Container(str(path))
    path.unlink()
    file.add("x", b"0")
    file.close()
    assert contents(path) == {"x": b"0"}
    assert [*tmp_path.iterdir()] == [path]


def test_metadata_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.fp.safetensors"
    Container(str(path), {"ranks": json.dumps(["é"])}).close()
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "ait_cmp.fingerprints", "ranks": '["\\u00e9"]'}
