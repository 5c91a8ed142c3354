"""What is written to an output: by one command at a time, plain files, and through no link."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ait_cmp.__main__ import main
from ait_cmp.files.output import new_file, write_whole
from tests.conftest import Dump

HOLD = (
    "from pathlib import Path; from ait_cmp.measuring.store import holding\n"
    "with holding(Path('out')): print('held', flush=True); input()"
)


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A folder of the user with a file, to which nothing may be written."""
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "file").write_text("mine")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "mine"


def _link(path: str, target: Path) -> Path:
    link = Path(path)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return link


@pytest.mark.parametrize("name", ["cmp_report.csv", "cmp_report.parquet"])
def test_a_report_takes_the_place_of_a_link(make_dump: Dump, precious: Path, name: str) -> None:
    link = _link(f"out/{name}", precious / "file")
    assert main([f"golden_path={make_dump()}", "output=out", "executor=serial"]) == 0
    assert not link.is_symlink()
    assert link.stat().st_size > 100


@pytest.mark.parametrize("name", ["cmp_report.stats", "cmp_report.stats.part"])
def test_stats_that_are_a_link_are_refused(
    make_dump: Dump, precious: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _link(f"out/{name}", precious / "file")
    given = [f"golden_path={make_dump()}", "output=out"]
    for words in ([], ["-m"]):
        assert main([*words, *given]) == 2
        assert f"{name} is a link" in capsys.readouterr().err


def test_a_calibrated_tolerance_takes_the_place_of_a_link(make_dump: Dump, precious: Path) -> None:
    link = _link("out/tolerance/calibrated.yaml", precious / "file")
    assert main(["calibrate", f"golden_path={make_dump()}", "output=out"]) == 0
    assert not link.is_symlink()
    assert "name: calibrated" in link.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tolerance", ["calibrate"]),
        ("jobs", ["-m", "tokens=0,1"]),
        ("jobs/1", ["-m", "tokens=0,1"]),
    ],
)
def test_a_folder_that_is_a_link_is_refused(
    make_dump: Dump,
    precious: Path,
    name: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    _link(f"out/{name}", precious)
    assert main([*words, f"golden_path={make_dump()}", "output=out"]) == 4
    assert f"out/{name} is a link, which is not written through" in capsys.readouterr().err


def test_what_hydra_writes_of_a_sweep_follows_no_link(make_dump: Dump, precious: Path) -> None:
    _link("out/jobs/multirun.yaml", precious / "file")
    assert main(["-m", f"golden_path={make_dump()}", "output=out"]) == 4


def test_a_record_of_a_job_takes_the_place_of_a_link(make_dump: Dump, precious: Path) -> None:
    link = _link("out/jobs/0/job.json", precious / "file")
    assert main(["-m", f"golden_path={make_dump()}", "output=out"]) == 0
    assert json.loads(link.read_text())["status"] == 0
    assert not link.is_symlink()


def test_files_are_plain_and_whole(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump()
    assert main([f"golden_path={dump}", "output=out"]) == 0
    assert main(["calibrate", f"golden_path={dump}", "output=out"]) == 0
    assert main(["-m", f"golden_path={dump}", "output=swept"]) == 0
    written = [path for name in ("out", "swept") for path in Path(name).rglob("*")]
    modes = {path.name: path.stat().st_mode & 0o7777 for path in written if path.is_file()}
    plain = tmp_path / "plain"
    plain.touch()
    assert len(modes) == 7
    assert set(modes.values()) == {plain.stat().st_mode & 0o7777}


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "file"
    write_whole(place, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(place, "\ud800")
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]
    assert new_file(place) != new_file(place)


def test_foreign_records_of_jobs_are_no_jobs(make_dump: Dump) -> None:
    for number, text in enumerate(["", "[]", "{}", '{"sweep": 1}', "{"], start=5):
        Path(f"out/jobs/{number}").mkdir(parents=True)
        Path(f"out/jobs/{number}/job.json").write_text(text)
    assert main(["-m", f"golden_path={make_dump()}", "output=out", "tokens=0,1"]) == 0
    assert pl.read_parquet("out/cmp_report.parquet")["job"].unique().len() == 2


def test_one_command_writes_to_an_output(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"golden_path={make_dump()}", "output=out", "executor=serial"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"held\n"
        for words in ([], ["calibrate"], ["-m"]):
            assert main([*words, *given]) == 2
            error = capsys.readouterr().err
            assert "another compare or sweep is writing to out; wait for it" in error
        other.communicate(b"\n")
    assert not list(Path("out").iterdir())
    assert main(given) == 0


def test_a_second_sweep_is_refused_and_the_first_loses_no_job(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["-m", f"golden_path={make_dump(tokens=3)}", "output=out", "executor=serial"]
    command = [sys.executable, "-m", "ait_cmp", *given, "tokens=0,1,2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        while not Path("out/jobs/multirun.yaml").exists():
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGSTOP)
        statuses = [main([*given, "tokens=1,0"]), main([*given[1:], "tokens=0"])]
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=100) == 0
    assert statuses == [2, 2]
    assert capsys.readouterr().err.count("another compare or sweep is writing to out") == 2
    rows = pl.read_parquet("out/cmp_report.parquet")
    assert rows["job"].to_list() == [f"tokens={token}" for token in (0, 1, 2) for _ in range(3)]
