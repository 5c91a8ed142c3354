"""Dumps, compares and proposals, each by the real command in a process of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pairing.side import Spec

__all__ = ["compare", "dump", "dumped", "fingerprint", "propose"]

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "scripts" / "pairing_bench.py"
_DONE = "done.json"


def fingerprint(*places: str) -> str:
    """Of the sources in these places of the checkout."""
    found = hashlib.blake2b(digest_size=8)
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()


def dump(spec: Spec, sources: str) -> None:
    """Run `spec` and have it dumped, unless that was done with the same sources ("": with any)."""
    folder = Path(spec.folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A golden dump is of several couples, which may run at the same time.
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done, mark = folder / _DONE, f"{sources} {replace(spec, folder='').text()}"
        if not done.is_file() or not done.read_text().endswith(mark):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _dump(spec, folder)
            done.write_text(mark)


def _dump(spec: Spec, folder: Path) -> None:
    side = [sys.executable, str(BENCH), "--side", spec.text()]
    if spec.tool == "ait":
        launcher = [sys.executable, "-m", "ait_cmp.dump", "--exec", _quoted(side)]
        side = [*launcher, "-o", str(folder), "-er", spec.rounds]
    _run(side, folder / "log.txt")


def dumped(folder: Path) -> str:
    """What was dumped there, when, and by which sources."""
    done = folder / _DONE
    return f"{done.read_text()} {done.stat().st_mtime_ns}"


def compare(golden: Path, my: Path, output: Path, *more: str) -> None:
    """`python -m ait_cmp`. It pairs alike whatever measures."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    arguments = [
        f"golden_path={golden}",
        f"my_path={my}",
        f"output={output}",
        *more,
        "executor=serial",
    ]
    _call([sys.executable, "-m", "ait_cmp", *arguments], output.with_suffix(".log"))


def propose(golden: Path, my: Path, file: Path) -> None:
    """`python -m ait_cmp.pair`, which writes a mapping."""
    file.unlink(missing_ok=True)
    arguments = [f"golden_path={golden}", f"my_path={my}", f"output={file}"]
    _call([sys.executable, "-m", "ait_cmp.pair", *arguments], file.with_suffix(".log"))


def _quoted(command: Sequence[str]) -> str:
    return shlex.join(command)


def _run(command: Sequence[str], log: Path) -> None:
    if status := _call(command, log):
        raise RuntimeError(f"exit status {status}; see {log}: {' '.join(command)}")


def _call(command: Sequence[str], log: Path) -> int:
    """The exit status: of a compare, 1 and 3 are answers too."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    with open(log, "wb") as file:
        return subprocess.call(command, stdout=file, stderr=subprocess.STDOUT, env=environ)
