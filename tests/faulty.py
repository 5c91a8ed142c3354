"""Compares and dumps in forked children, under faults; each prints its figures as JSON.

    python -m tests.faulty SCENARIO COUNT FOLDER

Children are forked from one process that has imported all, since that takes seconds.
"""

from __future__ import annotations

import csv
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main as compare
from ait_cmp.measuring import store
from ait_cmp.measuring.executor import worker  # noqa: F401  what compiles or loads the kernels
from ait_cmp.source import open_source

Figures = dict[str, int]
PART = f"{store.NAME}.part"
NAMES = ("cmp_report.csv", "cmp_report.parquet")


def forked(work: Callable[[], int], harm: Callable[[int], None] = lambda pid: None) -> int:
    """The exit status of `work` in a child, to which `harm` is done meanwhile; -N: signal N."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            signal.alarm(120)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            if not os.environ.get("SHOW_STDERR"):
                os.dup2(null, 2)
            status = work()
        finally:
            os._exit(status)
    harm(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_after(seconds: float) -> Callable[[int], None]:
    """Harm that comes suddenly."""

    def harm(pid: int) -> None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)

    return harm


def make_dump(folder: Path, rows: int, size: int) -> Path:
    """A dump of `rows` pairs, of which one fails."""
    generator = torch.Generator().manual_seed(0)
    for number in range(rows):
        golden = torch.randn(size, generator=generator)
        write_bin(folder / "my" / f"{number}.bin", golden * 2 if number == 3 else golden)
        dump_data(0, number, golden, folder / "my" / f"{number}.bin", folder, strict=True)
    return folder


def compare_into(folder: Path, dump: Path, *more: str) -> int:
    """The exit status of a compare in this process."""
    return compare([f"golden_path={dump}", f"output={folder}", "executor=serial", *more])


def reports(folder: Path) -> list[bytes]:
    """The bytes of each report."""
    return [(folder / name).read_bytes() for name in NAMES]


def fail_writes(after: int, error: int, forever: bool) -> None:
    """See failing_writes.c."""
    ctypes.CDLL(None).fail_writes(ctypes.c_long(after), error, int(forever))


LAST_WRITE = 7  # by then a compare of 8 rows has written all
FAULTS = {"ENOSPC": (errno.ENOSPC, True), "EIO": (errno.EIO, False)}


def compare_writes(count: int, folder: Path) -> Figures:
    """A compare whose N-th write fails, for every N up to `count`: the old report or the new.

    Of a few, the last N of those that are hit: the end of the stats, and the reports.
    """
    moments = range(1, count + 1) if count > LAST_WRITE else range(LAST_WRITE - count, LAST_WRITE)
    dump, out = make_dump(folder / "dump", 8, 100), folder / "out"
    assert forked(lambda: compare_into(out, dump, "data_ids=[0]")) == 0
    old = reports(out)
    assert forked(lambda: compare_into(folder / "whole", dump)) == 1
    new = reports(folder / "whole")
    figures = dict.fromkeys(("runs", "failed", "old_kept", "new_written", "finished_later"), 0)
    for error, forever in FAULTS.values():
        for after in moments:
            shutil.rmtree(out)
            out.mkdir()
            for name, content in zip(NAMES, old, strict=True):
                (out / name).write_bytes(content)

            def work(after: int = after, error: int = error, forever: bool = forever) -> int:
                fail_writes(after, error, forever)
                return compare_into(out, dump)

            status, found = forked(work), reports(out)
            assert (status, found) in ((4, old), (1, new)), (after, error, status)
            assert not list(out.glob(".*.tmp"))
            figures["runs"] += 1
            figures["failed"] += status == 4
            figures["old_kept"] += found == old
            figures["new_written"] += found == new
            figures["finished_later"] += (
                forked(lambda: compare_into(out, dump)) == 1 and reports(out) == new
            )
    return figures


def compare_kills(count: int, folder: Path) -> Figures:
    """A compare killed at a random moment, then run again: the report of an undisturbed one."""
    dump = make_dump(folder / "dump", 150, 50_000)  # three batches
    begun: list[float] = []

    def note(pid: int) -> None:
        wait_until_open(pid, folder / "whole" / PART)
        begun.append(time.monotonic())

    assert forked(lambda: compare_into(folder / "whole", dump), note) == 1
    took, chance = time.monotonic() - begun[0], random.Random(0)
    figures = dict.fromkeys(("runs", "killed", "resumed", "equal"), 0)
    for number in range(count):
        out = folder / f"out{number}"
        part, delay = out / PART, chance.uniform(0, took)

        def harm(pid: int, part: Path = part, delay: float = delay) -> None:
            wait_until_open(pid, part)
            kill_after(delay)(pid)

        figures["killed"] += forked(lambda out=out: compare_into(out, dump), harm) == -9  # type: ignore[misc]
        figures["resumed"] += part.exists() and b"\xf5ROWS" in part.read_bytes()
        status = forked(lambda out=out: compare_into(out, dump))  # type: ignore[misc]
        figures["equal"] += status == 1 and reports(out) == reports(folder / "whole")
        figures["runs"] += 1
        shutil.rmtree(out)
    return figures


def truncations(count: int, folder: Path) -> Figures:
    """A file cut while a compare in one process reads it: a row each, and no dead process."""
    (folder / "whole").mkdir(parents=True)
    chance = random.Random(0)
    array = np.arange(8_000_000, dtype="f4").reshape(4000, 2000)
    makers: dict[str, Callable[[Path], object]] = {
        "row_major.npy": lambda path: np.save(path, array),
        "column_major.npy": lambda path: np.save(path, np.asfortranarray(array)),
        "a.bin": lambda path: write_bin(path, torch.from_numpy(array)),
        "row_major.pth": lambda path: torch.save(torch.from_numpy(array), path),
        "transposed.pth": lambda path: torch.save(torch.from_numpy(array.T.copy()).t(), path),
    }
    for name, make in makers.items():
        make(folder / "whole" / name)
    shutil.copytree(folder / "whole", folder / "again")
    dump = folder / "dump"
    dump.mkdir()
    figures = dict.fromkeys(("reads", "rows", "cut", "while_read", "passed"), 0)
    for number in range(count):
        name = list(makers)[number % len(makers)]
        whole, my = folder / "whole" / name, folder / name
        shutil.copy(whole, my)
        again = folder / "again" / name
        entries = {"cut": [str(whole), str(my)], "whole": [str(whole), str(again)]}
        mapping = {data_id: {"0": paths} for data_id, paths in entries.items()}
        (dump / "metadata.json").write_text(json.dumps(mapping))

        def harm(pid: int, my: Path = my) -> None:
            wait_until_open(pid, my)
            time.sleep(chance.uniform(0, 0.03))
            os.truncate(my, chance.randrange(32_000_000))

        status = forked(lambda: compare_into(folder / "out", dump), harm)
        assert status in (0, 3), status
        rows = report_rows(folder / "out")
        figures["reads"] += 1
        figures["rows"] += len(rows)
        figures["cut"] += rows["cut"]["status"] == "error"
        figures["while_read"] += rows["cut"]["reason"] in ("IN_TRUNCATED", "IN_CHANGED")
        figures["passed"] += rows["whole"]["status"] == "pass"
    return figures


def wait_until_open(pid: int, path: Path) -> None:
    """Wait until the process has `path` open, or has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except FileNotFoundError:
            continue  # a descriptor that was closed meanwhile
        if str(path) in links or not links:
            return


def report_rows(folder: Path) -> dict[str, dict[str, str]]:
    """The rows by data_id. Without polars, whose threads would not fork."""
    with open(folder / "cmp_report.csv", encoding="utf-8", newline="") as file:
        return {row["data_id"]: row for row in csv.DictReader(file)}


def dump_writes(count: int, folder: Path) -> Figures:
    """A dumping process whose N-th write fails, for every N up to `count`."""
    figures = dict.fromkeys(("runs", "hit", "went_on", "listed", "torn", "not_saved"), 0)
    for name, (error, forever) in FAULTS.items():
        for after in range(1, count + 1):
            root = folder / f"{name}{after}"

            def work(
                root: Path = root, after: int = after, error: int = error, forever: bool = forever
            ) -> int:
                with warnings.catch_warnings(record=True) as told:
                    warnings.simplefilter("always")
                    fail_writes(after, error, forever)
                    for call in range(30):
                        dump_data(
                            call, f"{call % 3}{'x' * 300}", torch.full((50,), call), "my", root
                        )
                hit = bool(ctypes.CDLL(None).writes_failed())
                return 10 * hit + len(told)

            status = forked(work)
            figures["runs"] += 1
            figures["hit"] += status >= 10
            # One warning; none where only rank.json is lost, without which runs pair by start.
            figures["went_on"] += status in (0, 11) or (status == 10 and not _ranked(root))
            listed, torn, not_saved = check_dump(root)
            figures["listed"] += listed
            figures["torn"] += torn
            figures["not_saved"] += not_saved
    return figures


def _ranked(root: Path) -> bool:
    return any(root.rglob("rank.json"))


def check_dump(root: Path) -> tuple[int, int, int]:
    """How many tensors the dumps below `root` list, how many are not what was dumped, and how many
    are listed only to say that they are not there."""
    listed = torn = not_saved = 0
    for metadata in root.rglob("metadata.json"):
        for tokens in json.loads(metadata.read_text()).values():
            for token, (golden, _) in tokens.items():
                if not os.path.exists(golden):
                    not_saved += 1
                    continue
                source = open_source(golden)
                values = source.read(0, source.elements)
                listed += 1
                torn += not (len(values) == 50 and (values == int(token)).all())
    return listed, torn, not_saved


def kill_after_work(seconds: float) -> Callable[[int], None]:
    """Harm that comes when the process has worked so long, however little of it a busy machine
    lets it do."""

    def harm(pid: int) -> None:
        while int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) < seconds * 1e9:
            time.sleep(0.0005)
        os.kill(pid, signal.SIGKILL)

    return harm


def dump_kills(count: int, folder: Path) -> Figures:
    """A dumping process killed at a random moment: nothing that returned is lost, nothing torn."""
    folder.mkdir(exist_ok=True)
    chance = random.Random(0)
    figures = dict.fromkeys(("kills", "returned", "lost", "listed", "torn"), 0)
    for number in range(count):
        root, log = folder / str(number), folder / f"{number}.log"

        def work(root: Path = root, log: Path = log) -> int:
            descriptor = os.open(log, os.O_CREAT | os.O_WRONLY)
            for call in range(10**6):
                data_id = f"{call % 50}{'x' * (call * 37 % 900)}"
                dump_data(call, data_id, torch.full((50,), call), "my.bin", root)
                os.write(descriptor, f"{data_id} {call}\n".encode())
            return 0

        assert forked(work, kill_after_work(chance.uniform(0.005, 0.15))) == -9
        # The last line is torn where the kill came while it was written.
        returned = log.read_text().split("\n")[:-1] if log.exists() else []
        recorded: dict[str, dict[str, list[str]]] = {}
        for metadata in root.rglob("metadata.json"):
            recorded = json.loads(metadata.read_text())
        lost = [
            line for line in returned if line.split()[1] not in recorded.get(line.split()[0], {})
        ]
        listed, torn, not_saved = check_dump(root)
        assert not not_saved
        figures["kills"] += 1
        figures["returned"] += len(returned)
        figures["lost"] += len(lost)
        figures["listed"] += listed
        figures["torn"] += torn
        shutil.rmtree(root, ignore_errors=True)
    return figures


SCENARIOS = {
    "compare_writes": compare_writes,
    "compare_kills": compare_kills,
    "truncations": truncations,
    "dump_writes": dump_writes,
    "dump_kills": dump_kills,
}


def main() -> None:
    """Run one scenario."""
    scenario, count, folder = sys.argv[1:]
    print(json.dumps(SCENARIOS[scenario](int(count), Path(folder))))


if __name__ == "__main__":
    main()
