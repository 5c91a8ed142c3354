"""Backend torch: `ait llm dump` of unmodified scripts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from ait_cmp import write_bin
from ait_cmp.__main__ import main as compare
from tests.dumps import ait_llm_dump, calls, names, only_run, read_bin, run_folders

PYTHON = shlex.quote(sys.executable)

SCRIPT = """
import sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    def forward(self, x, *, bias=None):
        for layer in self.layers:
            x = layer(x) + bias
        return x

def main(*runs):
    torch.manual_seed(0)
    net = Net()
    for number in runs:
        net(torch.ones(2, 4), bias=torch.tensor(float(number)))
        nn.Softmax(dim=-1)(torch.ones(3))  # made anew in each round
"""


def script(folder: Path, text: str, name: str = "main.py") -> str:
    """The command that runs `text`."""
    (folder / name).write_text(SCRIPT + text)
    return f"{PYTHON} {name}"


def test_an_unmodified_script(tmp_path: Path) -> None:
    text = """
main(1, 2, 3)
import ait_cmp
assert not any("ait_cmp" in entry and "inject" in entry for entry in sys.path[:-1])
assert [type(each).__name__ for each in sys.meta_path if type(each).__name__ == "Finder"] == []
assert not any(each._forward_hooks for each in Net().modules())
"""
    options = ("--type", "model", "tensor", "-er", "1,2", "-time", "2", "-o", "out")
    done = ait_llm_dump(script(tmp_path, text), *options)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "out")
    net = ["", "/0_layers.0", "/1_layers.1", "/2_layers.2"]
    assert calls(run) == [
        f"{token}/{each}"
        for token in (1, 2)
        for each in [*(f"0_Net{layer}" for layer in net), "1_Softmax"]
    ]
    # Keyword arguments too, before and after.
    for moment in ("before", "after"):
        assert read_bin(run / "2/0_Net" / moment / "intensor1.bin").item() == 3.0
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.*") if path.is_file())
    tensors = len(names(run))
    first = done.stderr.splitlines()[0]
    expected = f"{tensors} tensors of 2 token rounds and 2 other files, {size} bytes, in {run}"
    assert first == f"ait llm dump: {expected}"


def test_child_processes_have_dumps_of_their_own(tmp_path: Path) -> None:
    text = """
import multiprocessing

def child(number):
    main(number)

if __name__ == "__main__":
    main(0, 0)  # a forked child begins with round 0 all the same
    for kind in ("fork", "spawn"):
        process = multiprocessing.get_context(kind).Process(target=child, args=(7,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""
    done = ait_llm_dump(script(tmp_path, text))
    assert done.returncode == 0, done.stderr
    runs = run_folders(tmp_path)
    assert len(runs) == 3
    assert len({tuple(names(run)) for run in runs}) == 1
    biases = [read_bin(run / "0/0_Net/after/intensor1.bin").item() for run in runs]
    assert sorted(biases) == [0.0, 7.0, 7.0]


def test_compiled_in_a_script(tmp_path: Path) -> None:
    text = """
net = torch.compile(Net(), backend="eager", fullgraph=True)
x = torch.ones(2, 4)
eager = net._orig_mod(x, bias=x)
assert torch.equal(net(x, bias=x), eager)
assert torch.equal(net(x, bias=x), eager)
torch.jit.script(nn.ReLU())(x)
"""
    done = ait_llm_dump(script(tmp_path, text), "-er", "0,1")
    assert done.returncode == 0, done.stderr
    eager = ["0/0_Net", "0/0_Net/0_layers.0", "0/0_Net/1_layers.1", "0/0_Net/2_layers.2"]
    assert calls(only_run(tmp_path)) == [
        *eager,
        "0/1_Net",
        "0/2_RecursiveScriptModule",
        "1/1_Net",
    ]
    assert "what runs inside torch.compile is not seen" in done.stderr


def test_start_up_is_light_and_hides_nothing(tmp_path: Path) -> None:
    # A sitecustomize and packages of the user's own, all of which must still be found.
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("import builtins; builtins.own = 'ran'")
    (tmp_path / "site/ait_llm").mkdir()
    (tmp_path / "site/ait_llm/__init__.py").write_text("real = True")
    (tmp_path / "site/llm").mkdir()  # one without __init__.py may be spread over folders
    (tmp_path / "site/llm/mine.py").write_text("x = 1")
    (tmp_path / "main.py").write_text(
        "import builtins, sys\n"
        "assert not {'torch', 'ait_cmp', 'numpy'} & set(sys.modules)\n"
        "assert builtins.own == 'ran' and 'site' in sys.modules['sitecustomize'].__file__\n"
        "import ait_llm, llm.mine\n"
        "assert ait_llm.real and llm.mine.x == 1\n"
        "from llm.dump.manual_dump import dump_data\n"
        "print(dump_data.__module__)\n"
    )
    path = os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]])
    done = ait_llm_dump(f"{PYTHON} main.py", env=os.environ | {"PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (0, "ait_cmp.dump.data\n"), done.stderr


def test_the_documented_imports_work_in_an_environment_without_ait_cmp(tmp_path: Path) -> None:
    text = """
from ait_llm.dump.manual_dump import dump_data
from llm.dump.manual_dump import dump_data as same
assert dump_data is same
dump_data(token_id=0, data_id=1, golden_data=torch.ones(2), my_path="x.bin")
"""
    # As a run.sh does that sets PYTHONPATH anew, but for what it was given first.
    (tmp_path / "run.sh").write_text(
        f'export PYTHONPATH="${{PYTHONPATH%%:*}}"\nexec {script(tmp_path, text)}\n'
    )
    done = ait_llm_dump("sh run.sh")
    assert done.returncode == 0, done.stderr
    (saved,) = (tmp_path / "ait_dump").glob("*_-1/golden_tensor/metadata.json")
    assert list(json.loads(saved.read_text())) == ["1"]


def test_what_fails_at_the_start_is_said_and_the_script_goes_on(tmp_path: Path) -> None:
    command = script(tmp_path, "main(1)\nprint('done')\n")
    spoilt = f"env AIT_CMP_DUMP=nonsense {command}"
    done = ait_llm_dump(spoilt)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "is not dumped" in done.stderr
    assert "nothing was dumped" in done.stderr


HF = """
import sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2,
)
model = LlamaForCausalLM(config).eval().to(getattr(torch, sys.argv[1]))
print(len(list(model.modules())))
model.generate(torch.arange(6)[None], max_new_tokens=4, do_sample=False, pad_token_id=0)
"""


def test_a_causal_language_model_in_two_precisions(tmp_path: Path) -> None:
    """Dumped unmodified, twice, then compared: every module is accounted for on both sides."""
    pytest.importorskip("transformers")
    (tmp_path / "main.py").write_text(HF)
    runs = []
    for dtype in ("float32", "bfloat16"):
        done = ait_llm_dump(f"{PYTHON} main.py {dtype}", "-o", dtype, "-er", "0,9")
        assert done.returncode == 0, done.stderr
        runs.append(only_run(tmp_path / dtype))
    golden, my = runs
    assert names(golden) == names(my)
    rounds = {int(name.split("/")[0]) for name in names(golden)}
    assert rounds == {0, 1, 2, 3}
    # Every module but the list of layers, whose forward nobody calls.
    called = [each for each in calls(golden) if each.startswith("2/")]
    assert len(called) == int(done.stdout) - 1
    logits = "3/0_LlamaForCausalLM/after/outtensor0.bin"
    exact, rough = read_bin(golden / logits), read_bin(my / logits)
    assert (exact.dtype, rough.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)

    compared = [f"{key}={run}" for key, run in (("golden_path", golden), ("my_path", my))]
    assert compare([*compared, "mapping=tree", "output=report"]) == 0
    rows = pl.read_parquet("report/cmp_report.parquet")
    for side, run in (("golden", golden), ("my", my)):
        assert sorted(os.path.relpath(path, run) for path in rows[f"{side}_data_path"]) == names(
            run
        )

    # Without a module's tensors on one side, and with a fault on the other.
    shutil.rmtree(my / "1/0_LlamaForCausalLM/1_lm_head")
    query = "0_LlamaForCausalLM/0_model/3_layers.1/1_self_attn/0_q_proj/after/outtensor0"
    faulty = my / "2" / f"{query}.bin"
    tensor = read_bin(faulty)
    faulty.unlink()
    write_bin(faulty, tensor.roll(1, -1))
    assert compare([*compared, "mapping=tree", "output=report"]) == 3
    rows = pl.read_parquet("report/cmp_report.parquet")
    missing = rows.filter(pl.col("reason") == "MY_MISSING")
    assert {(row["token_id"], row["data_id"].split("/")[0]) for row in missing.to_dicts()} == {
        (1, "lm_head")
    }
    first = rows.filter(pl.col("first_divergence").is_not_null())["data_id"][0]
    assert first == "model.layers.1.self_attn.q_proj/out0"
