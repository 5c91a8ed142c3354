"""`ait-cmp isolate`: scripts whose models are run beside each other, and calls on disk."""

from __future__ import annotations

import csv
import fcntl
import os
import sys
from collections import OrderedDict
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ait_cmp.commands import main
from ait_cmp.isolating.recording import recorded
from ait_cmp.isolating.structure import Held, mapped
from ait_cmp.isolating.written import CALLS, _Packing, _Unpacking, read_recording
from ait_cmp.values.errors import UsageError

SCRIPT = """
import sys
import torch
from torch import nn

class Cache:
    def __init__(self):
        self.seen = []

class Applying(nn.Module):
    def forward(self, module, x):
        return 2 * module(x)

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.apply_it = Applying()
        self.register_buffer("sum", torch.zeros(5, 16))
        self.norm, self.up = nn.LayerNorm(16), nn.Linear(16, 16)
        self.past, self.calls = [], 0

    def forward(self, x, cache=None):
        self.past.append(x)
        self.calls += 1
        self.sum += 0.1 * torch.stack(self.past).sum(0) / self.calls
        cache.seen.append(self.apply_it(self.norm, x) + self.sum)
        return x + self.up(torch.stack(cache.seen).mean(0))

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.ModuleList(Layer() for _ in range(5))

    def forward(self, x):
        cache = Cache()
        for layer in self.layers:
            x = layer(x, cache=cache)
        return x

model = Model().eval()
model.layers[2].up.register_forward_pre_hook(lambda module, given: (given[0] * 1.3,))
if "compiled" in sys.argv:
    model.layers[4].compile(backend="eager")
if "my" in sys.argv:
    with torch.no_grad():
        model.layers[1].norm.weight += 0.5
        model.layers[3].up.weight[2] *= 3
    model = model.bfloat16()
if "raise" in sys.argv:
    raise RuntimeError("no weights")
if "none" not in sys.argv:
    with torch.no_grad():
        for step in range(2):
            x = torch.linspace(-1, 1, 80).reshape(5, 16) + step
            model(x.to(next(model.parameters()).dtype))
"""


def rows(output: Path) -> list[dict[str, str]]:
    """The lines of a report."""
    with (output / "cmp_report.csv").open(newline="") as file:
        return [*csv.DictReader(file)]


def blamed(output: Path) -> set[str]:
    """The modules that fail by themselves."""
    return {row["own_module"] for row in rows(output) if row["status"] == "fail"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("script") / "model.py"
    path.write_text(SCRIPT)
    return f"{sys.executable} {path}"


def test_two_scripts_are_run_and_every_module_is_judged(script: str, tmp_path: Path) -> None:
    scripts = ["--golden", script, "--my", f"{script} my"]
    assert main(["isolate", *scripts, "--output", str(tmp_path), "-er", "0,1"]) == 1
    assert blamed(tmp_path) == {"layers.1.norm", "layers.3.up"}
    assert {row["token_id"] for row in rows(tmp_path)} == {"0", "1"}
    assert {row["status"] for row in rows(tmp_path)} == {"fail", "pass"}
    assert "layers.0/left.past.1" in {row["data_id"] for row in rows(tmp_path)}
    assert not (tmp_path / "isolate_golden").exists()

    calls = ["--calls", str(tmp_path / "isolate_calls"), "--precision", "float32"]
    again = tmp_path / "again"
    assert main(["isolate", "--golden", script, *calls, "-o", str(again)]) == 1
    assert blamed(again) == {"layers.1.norm", "layers.3.up"}

    scripts = ["--golden", script, "--my", f"{script} my compiled"]
    assert main(["isolate", *scripts, "-o", str(again)]) == 1
    assert blamed(again) == {"layers.1.norm", "layers.3.up"}
    assert "layers.4/out0" in {row["data_id"] for row in rows(again)}


ROUTED = """
import sys
import torch
from torch import nn

class Gate(nn.Linear):
    def forward(self, x):
        ids = super().forward(x).topk(2).indices
        return (ids + 1) % 16 if hasattr(self, "fault") else ids

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.up = Gate(16, 16), nn.Linear(16, 16)
        self.experts = nn.Embedding(16, 16)

    def forward(self, x):
        return x + self.up(self.experts(self.gate(x)).sum(-2) + x)

torch.manual_seed(1)
model = nn.Sequential(*(Layer() for _ in range(4))).eval()
x = torch.randn(200, 16)
if "faulty" in sys.argv:
    model[0].gate.fault = True
    with torch.no_grad():
        model[2].up.weight[2] *= 3
if "my" in sys.argv:
    model, x = model.bfloat16(), x.bfloat16()
with torch.no_grad():
    model(x)
"""


def test_what_is_behind_another_choice_is_judged(tmp_path: Path) -> None:
    """Nothing follows from a choice, since what comes next is given."""
    path = tmp_path / "routed.py"
    path.write_text(ROUTED)
    golden, output = f"{sys.executable} {path}", str(tmp_path / "out")
    assert main(["isolate", "--golden", golden, "--my", f"{golden} my", "-o", output]) == 0
    assert any("near ties: " in row["paired_by"] for row in rows(tmp_path / "out"))
    assert {row["status"] for row in rows(tmp_path / "out")} == {"pass"}
    assert main(["isolate", "--golden", golden, "--my", f"{golden} my faulty", "-o", output]) == 1
    assert blamed(tmp_path / "out") == {"0.gate", "2.up"}
    assert {row["status"] for row in rows(tmp_path / "out")} == {"pass", "fail"}


def test_what_makes_no_sense_is_refused(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["isolate", "--golden", script, "-o", str(tmp_path)]) == 2
    assert "either --my COMMAND or --calls FOLDER" in capsys.readouterr().err
    scripts = ["--golden", script, "--my", script]
    for wrong, said in (
        (["--golden", "nocommand"], "--golden cannot run 'nocommand'"),
        (["--tolerance", "nothere"], "nothere"),
        (["--output", "/dev/null/x"], "--output /dev/null/x cannot be made a folder"),
        (["--output", "s3://bucket/x"], "--output s3://bucket/x must be a folder of this machine"),
    ):  # all of it before anything runs
        assert main(["isolate", *scripts, "-o", str(tmp_path / "new"), *wrong]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "new" / "isolate_calls").exists()
    calls = ["--calls", str(tmp_path), "-o", str(tmp_path)]
    assert main(["isolate", "--golden", script, *calls]) == 2
    assert f"--calls {tmp_path} has no calls" in capsys.readouterr().err
    nothing = ["isolate", "--my", f"{script} none", "--golden", script, "-o", str(tmp_path)]
    assert main(nothing) == 2
    assert "--my called no torch.nn.Module" in capsys.readouterr().err


def test_a_script_that_raises_is_said_to_and_the_older_report_to_stay(
    script: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cmp_report.csv").write_text("of an earlier run\n")
    raising = f"{script} raise"
    assert main(["isolate", "--my", raising, "--golden", script, "-o", str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert "no weights" in said
    assert "--my ended with status 1 before a torch.nn.Module had run; see its own error" in said
    assert f"the report in {tmp_path} stays as it is" in said
    assert (tmp_path / "cmp_report.csv").read_text() == "of an earlier run\n"
    assert main(["isolate", "--my", f"{script} my", "--golden", raising, "-o", str(tmp_path)]) == 2
    assert "--golden ended with status 1 before a model with" in capfd.readouterr().err


def test_two_at_once_do_not_share_an_output(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = ["isolate", "--golden", script, "--my", f"{script} my", "-o", str(tmp_path)]
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # as another process that works there
    try:
        assert main(scripts) == 2
    finally:
        os.close(folder)
    assert f"another isolate is working in {tmp_path}" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_several_processes_of_a_script_are_refused(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, file = script.split()
    twice = tmp_path / "twice.py"
    twice.write_text(
        "import subprocess, sys\n"
        f"for _ in range(2): subprocess.run([sys.executable, {file!r}, *sys.argv[1:]])\n"
    )
    calls = ["--calls", str(tmp_path / "isolate_calls")]
    both = f"{sys.executable} {twice}"
    assert main(["isolate", "--my", f"{script} my", "-o", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["isolate", "--golden", both, *calls, "-o", str(tmp_path / "out")]) == 2
    assert "2 processes of --golden answered my's calls" in capsys.readouterr().err
    assert main(["isolate", "--golden", script, "--my", both, "-o", str(tmp_path / "out")]) == 2
    assert "2 processes left calls" in capsys.readouterr().err


class Point(NamedTuple):
    x: Any
    y: Any


class Colour(Enum):
    RED = 1


class Slotted:
    __slots__ = ("held", "number")

    def __init__(self, held: Any) -> None:
        self.held, self.number = held, 3


def test_structures_are_written_and_read_as_they_were(tmp_path: Path) -> None:
    tensor = torch.arange(3.0)
    torch.save(tensor, tmp_path / "0.pth")
    held = Held(None, "cpu", tensor.dtype, str(tmp_path / "0.pth"))
    ordered = OrderedDict([("b", [held, (1, None)]), ("a", {"x": float("inf"), 2: torch.int8})])
    whole = [Point(held, Colour.RED), Slotted(held), ordered, slice(1, None), torch.Size([2, 3])]
    whole.append(whole[1])
    found = _Unpacking(tmp_path).of(_Packing().of(whole))
    assert found[1] is found[5]
    assert found[1].number == 3
    assert found[1].held.tensor.tolist() == tensor.tolist()
    assert (found[0].y, found[3], found[4]) == (Colour.RED, slice(1, None), torch.Size([2, 3]))
    assert [*found[2]] == ["b", "a"]
    assert found[2]["a"] == {"x": float("inf"), 2: torch.int8}
    assert mapped(found, lambda one: one.tensor)[0].x.tolist() == tensor.tolist()


def test_what_no_file_keeps_is_said(tmp_path: Path) -> None:
    from ait_cmp.isolating.written import write_calls

    class Taking(torch.nn.Module):
        def forward(self, x: torch.Tensor, function: Any) -> Any:
            return function(x)

    model = Taking()
    with recorded(model) as recording:
        model(torch.ones(2), torch.sin)
        model(torch.ones(2), lambda x: x)
    write_calls(str(tmp_path), recording.calls, recording)
    calls = read_recording(tmp_path).calls
    assert [bool(call.why) for call in calls] == [True, True]
    assert "which no file keeps" in calls[1].why
    (tmp_path / CALLS).write_text("{}\n")
    with pytest.raises(UsageError, match="is no list of calls"):
        read_recording(tmp_path)
