"""A Slurm of one node on loopback, with a munge of its own: nothing of the machine's is touched."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")


def is_installed() -> bool:
    """Whether all of it is there; only root may start it."""
    return os.getuid() == 0 and all(map(find, PROGRAMS))


def find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@contextmanager
def started(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` finds it."""
    (folder / "munge.key").write_bytes(os.urandom(128))
    os.chmod(folder / "munge.key", 0o600)
    (folder / "slurm.conf").write_text(_config(folder))
    environ = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = ["--foreground", "--force", f"--key-file={folder}/munge.key"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("log", "pid", "seed")]
    node = socket.gethostname().split(".")[0]
    processes = []
    try:
        for name, options in (
            ("munged", [*munge, f"--socket={folder}/munge.socket"]),
            ("slurmctld", ["-D"]),
            ("slurmd", ["-D", "-N", node]),
        ):
            with (folder / f"{name}.out").open("w") as log:
                command = [find(name) or name, *options]
                process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
            processes.append(process)
            time.sleep(0.5)
        _wait_until_idle(environ)
        yield environ
    finally:
        subprocess.run(["scancel", "--signal=KILL", "--full", "--me"], env=environ, timeout=20)
        for process in reversed(processes):
            process.kill()  # nothing that they would write is kept
            process.wait(20)


def _config(folder: Path) -> str:
    node = socket.gethostname().split(".")[0]
    ports = [_free_port() for _ in range(2)]
    return f"""ClusterName=loopback
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
KillWait=1
NodeName={node} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait_until_idle(environ: dict[str, str]) -> None:
    command = ["sinfo", "--noheader", "-o", "%t"]
    for _ in range(100):
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    raise RuntimeError(f"Slurm is not ready: {done.stdout}{done.stderr}")
