"""One report and one exit status, wherever the jobs of a sweep run, and if one of them dies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from ait_cmp import dump_data, write_bin
from tests_launchers import slurm

ROOT = Path(__file__).parent.parent
TOKENS = "tokens=0,1,2"
DIES = """
import os

def dies(golden, my):
    if golden.numel() == 7:
        os.kill(os.getpid(), 9)
    return 0.0
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ait_", dir="/tmp"))
    for token in range(3):
        for row in range(40):
            # One row of token 1 is what the user's own metric dies of, one of token 2 is wrong.
            golden = torch.arange(7 if (token, row) == (1, 5) else 12, dtype=torch.float32) + row
            my = golden + 9 if (token, row) == (2, 3) else golden
            write_bin(made / f"{token}_{row}.bin", my)
            dump_data(token, f"layer{row}", golden, made / f"{token}_{row}.bin", made)
    (made / "own.py").write_text(DIES)
    yield made
    shutil.rmtree(made)


def command(folder: Path, *arguments: str) -> list[str]:
    given = (f"golden_path={folder}", "executor=serial", "report.formats=[csv]", "report.worst=0")
    return [sys.executable, "-m", "ait_cmp", *given, *arguments]


def ran(
    folder: Path, *arguments: str, environ: Mapping[str, str] = os.environ
) -> tuple[int, str, bytes]:
    """The exit status of a sweep, what was said, and its report."""
    output = next(one for one in arguments if one.startswith("output=")).partition("=")[2]
    env = {**environ, "PYTHONPATH": os.pathsep.join([str(ROOT), environ.get("PYTHONPATH", "")])}
    run = command(folder, "-m", TOKENS, *arguments)
    done = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr, _report(folder / output)


def _report(folder: Path) -> bytes:
    """Nothing where none was written."""
    path = folder / "cmp_report.csv"
    return path.read_bytes() if path.exists() else b""


@pytest.fixture(scope="module")
def basic(folder: Path) -> bytes:
    """The report by the basic launcher."""
    status, said, report = ran(folder, "output=basic")
    assert status == 1
    assert "merged report of 3 of 3 jobs" in said
    return report


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_launcher_gives_the_basic_ones_report(folder: Path, basic: bytes, launcher: str) -> None:
    status, said, report = ran(folder, f"output={launcher}", f"hydra/launcher={launcher}")
    assert (status, report) == (1, basic)
    assert "merged report of 3 of 3 jobs" in said


@pytest.mark.parametrize(
    ("launcher", "at_a_time", "sentence"),
    [
        ("submitit_local", "", r"job 1 of the sweep died, .* without a report; \S+\.err says more"),
        ("joblib", "hydra.launcher.n_jobs=2", r"job 1 of the sweep died without a report"),
        ("joblib", "hydra.launcher.n_jobs=1", r"job 1 of the sweep died without a report"),
    ],
    ids=["submitit", "joblib", "joblib-one-at-a-time"],
)
def test_of_a_job_that_dies_there_is_a_sentence_and_of_the_others_a_report(
    folder: Path, launcher: str, at_a_time: str, sentence: str
) -> None:
    given = ["metrics.extra=[own.py:dies]", f"hydra/launcher={launcher}", at_a_time]
    output = f"output=died_{launcher}{at_a_time[-1:]}"
    status, said, report = ran(folder, output, *filter(None, given))
    assert status == 4
    assert re.search(sentence, said)
    assert "merged report of 2 of 3 jobs" in said
    jobs = {line.split(b",")[0].strip(b'"') for line in report.splitlines()[1:]}
    assert jobs == {b"tokens=0", b"tokens=2"}


@pytest.fixture(scope="module")
def on_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which a Slurm is found; its programs are with the script of this suite."""
    if not slurm.is_installed():
        pytest.skip("no Slurm here")
    (folder / "slurm").mkdir()
    with slurm.started(folder / "slurm") as environ:
        yield environ


def test_slurm_runs_the_jobs_of_a_sweep(
    folder: Path, basic: bytes, on_slurm: dict[str, str]
) -> None:
    given = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=5")
    status, said, report = ran(folder, "output=by_slurm", *given, environ=on_slurm)
    assert (status, report) == (1, basic), said


def test_the_script_of_the_docs_compares_in_a_job_of_slurm(
    folder: Path, on_slurm: dict[str, str]
) -> None:
    pytest.importorskip("ray")
    serial = command(folder, "output=serial")
    subprocess.run(serial, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    (script,) = re.findall(
        r"```bash\n(#!/bin/bash.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL
    )
    (folder / "ait_cmp.sbatch").write_text(script)
    path = (str(Path(sys.executable).parent), os.environ["PATH"])
    size = ["--nodes=1", "--cpus-per-task=1", f"--output={folder}/sbatch.log"]
    done = subprocess.run(
        ["sbatch", "--wait", *size, "ait_cmp.sbatch", f"golden_path={folder}", "output=by_script"],
        cwd=folder,
        env={**on_slurm, "PYTHONPATH": str(ROOT), "PATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, (folder / "sbatch.log").read_text()
    assert _report(folder / "by_script") == _report(folder / "serial")
