"""`ait llm dump --force-tokens`: two runs of an unmodified script that read the same tokens."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ait_cmp import compare_dumps, write_bin
from ait_cmp.ait import main
from ait_cmp.commands.forced_tokens import forced_tokens
from ait_cmp.values.errors import UsageError
from tests.dumps import ait_llm_dump

SCRIPT = """
import sys
import torch
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(int(sys.argv[1]))
model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2)).eval()
model.generation_config.pad_token_id = model.generation_config.eos_token_id = 0
two, one = torch.tensor([[5, 6, 7], [8, 9, 10]]), torch.tensor([[11, 12, 13, 14]])
for prompt, options in ((two, {}), (one, {"do_sample": True}), (one, {"use_cache": False})):
    found = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=4,
                           **options)
    print(found.tolist())
"""


def _dump(folder: Path, name: str, seed: int, *options: object) -> Any:
    pytest.importorskip("transformers")
    (folder / "script.py").write_text(SCRIPT)
    command = f"{sys.executable} {folder / 'script.py'} {seed}"
    done = ait_llm_dump(command, "-o", folder / name, "-opname", "wte", *options)
    assert done.returncode == 0, done.stderr
    return done


def _texts(done: Any) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]


def test_another_model_reads_the_tokens_of_golden(tmp_path: Path) -> None:
    """Greedy, sampled, without a cache: in each call of generate."""
    every = ("-er", "0,99")
    golden = _dump(tmp_path, "golden", 0, *every)
    forced = _dump(tmp_path, "forced", 1, *every, "--force-tokens", tmp_path / "golden")
    assert "forcing up to 4 tokens in 3 calls of generate" in forced.stderr
    # All but the last token of each, which no round reads.
    assert [[row[:-1] for row in call] for call in _texts(forced)] == [
        [row[:-1] for row in call] for call in _texts(golden)
    ]
    rows = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "forced").rows
    ids = [row for row in rows if row.pair.data_id.endswith("wte/in0")]
    assert len(ids) == 3 * 4
    assert {row.verdict.status for row in ids} == {"pass"}
    assert all(row.pair.golden.files and row.pair.my.files for row in rows)  # as many rounds


def test_a_list_is_chosen_and_ends_the_run_and_what_is_not_forced_is_said(tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text("[[[3, 4, 5], [4, 3, 2]], [[1, 2, 9, 99], [1, 2, 3, 4]]]")
    done = _dump(tmp_path, "out", 0, "--force-tokens", tmp_path / "ids.json")
    assert _texts(done)[0] == [[5, 6, 7, 3, 4, 5], [8, 9, 10, 4, 3, 2]]
    assert "generate has 1 sequences, and there are tokens for 2; it is not forced" in done.stderr
    assert "call 3 of generate is not forced: there are tokens for 2" in done.stderr


def test_a_loop_of_ones_own_is_said_not_to_be_forced(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1 2")
    (tmp_path / "loop.py").write_text("import torch; torch.nn.Linear(2, 2)(torch.ones(1, 2))")
    command = f"{sys.executable} {tmp_path / 'loop.py'}"
    done = ait_llm_dump(command, "-o", tmp_path / "out", "--force-tokens", tmp_path / "ids")
    assert "and there were 0; a loop of one's own is not forced" in done.stderr


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[1, 2]", [[[1, 2]]]),
        ("[[1, 2], [3]]", [[[1, 2], [3]]]),
        ("[[[1, null]], [[3]]]", [[[1, None]], [[3]]]),
        ("1 2,3\n\n4\t5 6\n", [[[1, 2, 3], [4, 5, 6]]]),
        ("\ufeff7\n", [[[7]]]),
    ],
)
def test_how_tokens_are_written(text: str, calls: Any, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(text, encoding="utf-8")
    assert forced_tokens(str(tmp_path / "ids")) == calls


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no token ids"),
        ("[]", "there is none"),
        ("[[], []]", "there is none"),
        ('{"a": 1}', "it is no list of ids"),
        ("[1.5]", "1.5 is no id"),
        ("[true]", "True is no id"),
        ("a b", "write \\[5, 17, 3\\]"),
        ("[[1], 2]", "holds no token ids"),
        ("[[[[1]]]]", "it is no list of ids"),
    ],
)
def test_what_is_no_list_of_tokens_is_said(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(UsageError, match=said):
        forced_tokens(str(tmp_path / "ids"))


def test_what_cannot_be_forced_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "ait_dump" / "tensors" / "0_1" / "0" / "0_model" / "after"
    place.mkdir(parents=True)
    write_bin(place / "intensor0.bin", torch.ones(1, 2))
    with pytest.raises(UsageError, match="has no rounds of generated tokens"):
        forced_tokens(str(tmp_path))
    command = ["llm", "dump", "--exec", "true", "--force-tokens"]
    assert main([*command, str(tmp_path / "none")]) == 2
    assert "none cannot be read: no such file" in capsys.readouterr().err
