"""How a process of its own answers files: by which code, in which time and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ait_cmp.source import open_source
from ait_cmp.values.errors import PairError

__all__ = ["MEMORY", "Answer", "answer_all"]

MEMORY = 64 << 20  # bytes that an answer may take
_SECONDS = 60  # for all files: what hangs is killed
_WARM_UP = 20


@dataclass(frozen=True)
class Answer:
    """The code that a file got; `peak` is what the process grew by meanwhile, in bytes."""

    reason: str
    seconds: float
    peak: int


def answer_all(paths: Sequence[Path]) -> list[Answer]:
    """Open every file in one fresh process that may grow by no more than MEMORY."""
    command = [sys.executable, "-m", "tests.answering"]
    names = json.dumps([str(path) for path in paths])
    done = subprocess.run(
        command, input=names, stdout=subprocess.PIPE, text=True, check=True, timeout=_SECONDS
    )
    return [Answer(**answer) for answer in json.loads(done.stdout)]


def _answer(path: str) -> Answer:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before, begun = _status("VmRSS"), time.perf_counter()
    try:
        source = open_source(path)
        reason = f"{source.dtype} {source.shape}"
    except PairError as exc:
        reason = exc.reason
    except MemoryError:
        reason = "no memory"
    seconds = time.perf_counter() - begun
    return Answer(reason, seconds, max(0, _status("VmHWM") - before))


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise LookupError(name)


def main() -> None:
    """Answer the files that stdin lists."""
    paths = json.load(sys.stdin)
    for path in paths[:_WARM_UP] + paths[-_WARM_UP:]:
        _answer(path)  # what is imported, and the first allocations, are not the file's
    limit = _status("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps([asdict(_answer(path)) for path in paths]))


if __name__ == "__main__":
    main()
