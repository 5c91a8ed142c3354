"""`ait llm watch`, and dumps that are switched on and off from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import ait_cmp
from ait_cmp import dump_modules
from ait_cmp.ait import main

SCRIPT = """
import sys, torch
torch.manual_seed(0)
model = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(30))).eval()
if "wrong" in sys.argv:
    with torch.no_grad():
        model[7].weight[3] *= 4
print("begins", flush=True)
with torch.no_grad():
    for number in range(3):
        model(torch.randn(80, 64, generator=torch.Generator().manual_seed(number)))
print("ends", flush=True)
sys.exit(7 if "fails" in sys.argv else 0)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """One that knows nothing of us."""
    path = tmp_path / "main.py"
    path.write_text(SCRIPT)
    return path


def _ait(command: str, script: Path, words: str = "", *options: str) -> tuple[int, str, str]:
    arguments = [sys.executable, "-m", "ait_cmp.ait", "llm", command]
    arguments += ["--exec", f"{sys.executable} {script} {words}", *options]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=script.parent)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fingerprints of its first two rounds."""
    script = tmp_path_factory.mktemp("golden") / "main.py"
    script.write_text(SCRIPT)
    path = script.with_name("golden.fp.safetensors")
    status, _, error = _ait("dump", script, "", "-fp", "-o", str(path), "-er", "0,1")
    assert status == 0, error
    return path


def test_a_script_is_watched_by_fingerprints(script: Path, golden: Path) -> None:
    status, out, error = _ait("watch", script, "", "--golden", str(golden), "-o", "report")
    assert status == 0, error
    assert "62 rows: 62 pass" in out
    assert "ends" in out
    assert ait_cmp.load(script.with_name("report")).passed
    status, out, error = _ait("watch", script, "wrong", "--golden", str(golden))
    assert status == 1
    assert error.startswith("ait_cmp: it goes wrong from token 0 7/out0 on")
    assert "ends" in out


def test_a_script_stops_at_the_first_divergence(script: Path, golden: Path) -> None:
    options = ("--golden", str(golden), "--stop-at", "first")
    status, out, _ = _ait("watch", script, "wrong", *options)
    assert status == 1
    assert "begins" in out
    assert "ends" not in out
    assert "8 rows: 7 pass, 1 fail" in out


def test_a_command_that_fails_ends_with_its_own_status(script: Path, golden: Path) -> None:
    status, out, error = _ait("watch", script, "fails", "--golden", str(golden))
    assert status == 7
    assert "62 rows: 62 pass" in out
    assert "ended with status 7" in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--golden", "nowhere"], "--golden=nowhere does not exist"),
        (["--golden", "nowhere.fp.safetensors"], "--golden=nowhere.fp.safetensors does not exist"),
        (["--golden", "main.py"], "--golden: main.py"),
        (["-o", "main.py/report"], "--output main.py/report cannot be made a folder"),
        (["-o", "http://nowhere/report"], "a web server is only read"),
        (["--tolerance", "nowhere"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    script: Path, golden: Path, options: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before anything is run."""
    command = f"{sys.executable} {script}"
    assert main(["llm", "watch", "--exec", command, "--golden", str(golden), *options]) == 2
    out, error = capfd.readouterr()
    assert error.startswith("ait llm watch: error: ")
    assert error.count("\n") == 1
    assert said in error
    assert "begins" not in out


FORKING = """
import os, sys, time, torch
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)).eval()
with torch.no_grad():
    model[0].weight.fill_(0.5), model[1].weight.fill_(0.5), model[0].bias.zero_()
    model[1].bias.zero_()
    model(torch.ones(2, 8))
    pid = os.fork()
    if pid == 0 and "calls" in sys.argv:
        model(torch.ones(2, 8))
    if pid == 0:
        os.close(1), os.close(2)  # which who reads them waits for
        open("child", "w").close()
        time.sleep(600)
    while not os.path.exists("child"):
        time.sleep(0.01)
print("child", pid)
os._exit(0)
"""


@pytest.mark.parametrize("calls", [False, True])
def test_a_process_that_outlives_the_command_is_not_awaited(tmp_path: Path, calls: bool) -> None:
    script, golden = tmp_path / "main.py", tmp_path / "golden.fp.safetensors"
    script.write_text(FORKING)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)).eval()
    with torch.no_grad(), dump_modules(model, golden, fingerprint=True, execute_range=[(0, 1)]):
        for layer in cast(Any, model):
            layer.weight.fill_(0.5), layer.bias.zero_()
        model(torch.ones(2, 8))
    began = time.monotonic()
    status, out, error = _ait("watch", script, "calls" * calls, "--golden", str(golden))
    assert time.monotonic() - began < 120
    child = int(out.partition("child ")[2].split()[0])
    os.kill(child, signal.SIGKILL)
    assert status == 0, error
    assert f"{6 if calls else 3} pass" in out
    outlives = f"process {child} outlives the command; what it gives from now on is not looked at"
    assert (outlives in error) is calls  # of one that calls no model nothing is known


def test_a_file_switches_dumps_on_and_off(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    switch = tmp_path / "on"
    with dump_modules(
        model, tmp_path / "dump", types=("tensor", "grad", "weight"),
        execute_range=[(0, 9)], save_tensor_part=1, switch=switch,
    ):  # fmt: skip
        for number in range(6):
            if number in (2, 5):
                switch.touch()
            elif number == 4:
                switch.unlink()
            model(torch.full((2, 3), float(number))).sum().backward()
    rows = ait_cmp.compare_dumps(
        golden_path=tmp_path / "dump", my_path=tmp_path / "dump", allow_same=True
    ).rows
    found = {(row.pair.token_id, row.pair.data_id): row for row in rows}
    assert {token for token, _ in found} == {0, 1, 2}  # calls 2, 3 and 5
    assert (0, "0/weight") in found
    assert {(token, "0/grad.weight") for token in range(3)} <= found.keys()
    assert {(token, "1/out0") for token in range(3)} <= found.keys()


SERVER = """
import os, signal, sys, time, torch
heard = []
signal.signal(signal.SIGUSR2, lambda *_: heard.append(1))  # of its own
os.kill(os.getpid(), signal.SIGUSR2)
model = torch.nn.Linear(4, 4)
for line in sys.stdin:
    model(torch.full((2, 4), float(line)))
    print("called", flush=True)
print(f"heard {len(heard)}", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="Windows has no such signals")
@pytest.mark.parametrize("command", ["dump", "watch"])
def test_a_signal_switches_a_server_on_and_off(tmp_path: Path, command: str) -> None:
    """It is sent to the command, and what the server does with its own is left alone."""
    server = tmp_path / "server.py"
    server.write_text(SERVER)
    golden = tmp_path / "golden.fp.safetensors"
    model = torch.nn.Linear(4, 4)
    with dump_modules(model, golden, execute_range=[(0, 9)], fingerprint=True):
        for number in range(3):
            model(torch.full((2, 4), float(number)))
    more = {
        "dump": ["-o", str(tmp_path / "my"), "-er", "0,9"],
        "watch": ["--golden", str(golden), "-o", str(tmp_path / "report")],
    }[command]
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "ait_cmp.ait", "llm", command, "--switch", "SIGUSR2"),
            *("--exec", f"{sys.executable} {server}", *more),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        for number in range(6):
            if number in (2, 4, 5):  # on, off, on
                process.send_signal(signal.SIGUSR2)
                time.sleep(0.5)
            print(number, file=process.stdin, flush=True)
            assert process.stdout.readline() == "called\n"
        process.stdin.close()
        assert process.stdout.readline() == "heard 1\n"
        process.wait()
    if command == "dump":
        tensors = tmp_path / "my"
        run = ait_cmp.compare_dumps(golden_path=tensors, my_path=tensors, allow_same=True)
    else:
        run = ait_cmp.load(tmp_path / "report")
    rounds = {row.pair.token_id: row for row in run.rows if row.pair.data_id == "out0"}
    assert [*rounds] == [0, 1, 2]  # calls 2, 3 and 5


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGUSR3"])
def test_no_other_signal_switches(script: Path, name: str) -> None:
    status, _, error = _ait("dump", script, "", "--switch", name)
    assert status == 2
    assert f"--switch {name} is no signal that switches" in error
