"""Nodes of real Ray clusters on this machine, and the command as their users give it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
RAY = Path(sys.executable).with_name("ray")
HOST = "127.0.0.1"


class Node:
    """A node that `ray start` made, with all its processes in one session."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *options: str,
        prefix: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        options = ("--node-name", name, f"--node-ip-address={HOST}", "--block", *options)
        self._log = (folder / f"{name}.log").open("w")
        self.process = subprocess.Popen(
            [*prefix, str(RAY), "start", "--disable-usage-stats", *options],
            env={**environment(folder), **(environ or {})},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it as a machine that loses its power."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        self._log.close()

    def has_workers(self) -> bool:
        """Whether what forks its workers runs."""
        return "multiprocessing.forkserver" in _ps("-o", "args=", "-s", str(self.process.pid))

    def _processes(self) -> list[int]:
        """All of its session."""
        return [int(line) for line in _ps("-o", "pid=", "-s", str(self.process.pid)).split()]


def start_head(folder: Path, port: int) -> Node:
    """The node that others join: one core."""
    options = (f"--port={port}", "--num-cpus=1", "--include-dashboard=false")
    return Node("one", folder, "--head", *options, f"--temp-dir={folder}", *_MEMORY)


def join(name: str, folder: Path, port: int, **more: object) -> Node:
    """Another node, of one core."""
    return Node(name, folder, f"--address={HOST}:{port}", "--num-cpus=1", *_MEMORY, **more)  # type: ignore[arg-type]


_MEMORY = ("--object-store-memory=100000000",)


def wait_for_nodes(folder: Path, port: int, count: int) -> None:
    """Until the cluster has so many that are alive."""
    code = (
        "import ray, sys, time\n"
        f"for _ in range(60):\n"
        f"  try:\n"
        f"    ray.init(address='{HOST}:{port}', log_to_driver=False, logging_level='ERROR')\n"
        f"    break\n"
        f"  except ConnectionError: time.sleep(0.3)\n"
        f"while sum(one['Alive'] for one in ray.nodes()) < {count}: time.sleep(0.1)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(folder), check=True, timeout=60)


def environment(folder: Path) -> dict[str, str]:
    """That of every process: a home of its own, and the checkout's package."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kernels = os.environ.get("NUMBA_CACHE_DIR", os.path.expanduser("~/.cache/ait_cmp"))
    return {
        **os.environ,
        "HOME": str(home),
        "NUMBA_CACHE_DIR": kernels,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "RAY_AUTH_MODE": "disabled",
    }


def command(*arguments: str) -> list[str]:
    """`python -m ait_cmp` with these, nothing shown of rows."""
    return [sys.executable, "-m", "ait_cmp", "report.worst=0", "report.formats=[csv]", *arguments]


def _ps(*options: str) -> str:
    return subprocess.run(["ps", *options], capture_output=True, text=True).stdout


def workers_of(folder: Path) -> list[int]:
    """The processes of ours below nodes in `folder`: actors, and what these forked."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            words = (path / "cmdline").read_bytes()
            home = f"HOME={folder / 'home'}".encode() in (path / "environ").read_bytes()
        except (OSError, ValueError):
            continue
        if home and (b"ray::Workers" in words or b"multiprocessing.forkserver" in words):
            found.append(int(path.name))
    return found


def eventually(check: Callable[[], object], seconds: float = 30.0) -> bool:
    """Whether `check()` is true before so many seconds are over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if check():
            return True
        time.sleep(0.1)
    return False
