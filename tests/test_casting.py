"""`ait llm dump --dtype`: an unmodified script, as if its model had been loaded in that type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ait_cmp import compare_dumps
from ait_cmp.dump.casting import Casting
from tests.dumps import ait_llm_dump, only_run, read_bin
from tests.test_dump_scripts import PYTHON

MODEL = """
import os, sys
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, pad_token_id=0,
)
if not os.path.exists("model"):
    transformers.LlamaForCausalLM(config).save_pretrained("model")
dtype = getattr(torch, sys.argv[1])
model = transformers.LlamaForCausalLM.from_pretrained("model", dtype=dtype)
model.generate(torch.arange(1, 9)[None], max_new_tokens=3, min_new_tokens=3, do_sample=False)
"""


def test_it_is_what_transformers_loads_in_that_type(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MODEL)
    command = f"{PYTHON} main.py"
    cast = ait_llm_dump(
        f"{command} float32", "--dtype", "bfloat16", "-er", "0,2", "-o", "cast", cwd=tmp_path
    )
    loaded = ait_llm_dump(f"{command} bfloat16", "-er", "0,2", "-o", "loaded", cwd=tmp_path)
    assert (cast.returncode, loaded.returncode) == (0, 0), cast.stderr + loaded.stderr
    run = compare_dumps(
        golden_path=tmp_path / "loaded" / "ait_dump",
        my_path=tmp_path / "cast" / "ait_dump",
        tolerance="strict",
    )
    assert run.passed
    types = {str(my.dtype) for row in run.rows if (my := row.comparison.measured.my)}
    assert "torch.bfloat16" in types
    assert "torch.float32" not in types


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.BatchNorm1d(4)
        self.register_buffer("frequencies", torch.ones(4), persistent=False)
        self.head = nn.Linear(4, 4, bias=False)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.head.weight


def _casting(dtype: str) -> tuple[Casting, list[str]]:
    said: list[str] = []
    return Casting(dtype, said.append), said


def test_weights_and_inputs_are_cast_and_tables_are_not() -> None:
    casting, said = _casting("bfloat16")
    model, ids = _Model(), torch.arange(3)
    kwargs: dict[str, Any] = {
        "mask": torch.ones(3),
        "ids": ids,
        "cache": [(torch.ones(2), None)],
        "name": "x",
    }
    (given,) = casting.cast(model, (torch.ones(2, 4, dtype=torch.float64),), kwargs)
    assert given.dtype is kwargs["mask"].dtype is kwargs["cache"][0][0].dtype is torch.bfloat16
    assert kwargs["ids"] is ids
    types = {name: one.dtype for name, one in model.state_dict().items()}
    assert types.pop("inner.num_batches_tracked") is torch.int64
    assert set(types.values()) == {torch.bfloat16}
    assert model.get_buffer("frequencies").dtype is torch.float32
    assert model.tied.weight is model.head.weight
    assert not said


@pytest.mark.parametrize(("dtype", "left"), [("bfloat16", True), ("float32", False)])
def test_what_is_rounded_already_is_not_rounded_again(dtype: str, left: bool) -> None:
    casting, said = _casting(dtype)
    model = nn.Sequential(nn.Linear(4, 4)).half()
    casting.cast(model, (), {})
    assert (model[0].weight.dtype is torch.float16) is left
    assert bool(said) is left
    assert all("would be rounded twice" in one for one in said)


def test_modules_that_a_model_keeps_in_float32_stay() -> None:
    model = nn.ModuleDict({"router": nn.Linear(4, 4), "head": nn.Linear(4, 4)})
    model._keep_in_fp32_modules_strict = {"router"}  # type: ignore[assignment]
    casting, _ = _casting("bfloat16")
    casting.cast(model, (), {})
    assert model["router"].weight.dtype is torch.float32
    assert model["head"].weight.dtype is torch.bfloat16


def test_what_is_saved_is_what_the_modules_are_given(tmp_path: Path) -> None:
    text = """
import torch
model = torch.nn.Sequential(torch.nn.Linear(4, 4))
model(torch.full((1, 4), 1.001))
"""
    (tmp_path / "main.py").write_text(text)
    done = ait_llm_dump(f"{PYTHON} main.py", "--dtype", "bfloat16", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = only_run(tmp_path / "out").glob("0/0_Sequential/after/intensor0.bin")
    assert read_bin(found).tolist() == [[1.0] * 4]


def test_the_library_s_own_dump_has_none(tmp_path: Path) -> None:
    done = ait_llm_dump("true", "--backend", "atb", "--dtype", "float16", cwd=tmp_path)
    assert done.returncode == 2
    assert "--dtype casts modules of torch" in done.stderr
