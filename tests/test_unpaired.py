"""Rows that have one side only are summed up by what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ait_cmp.__main__ import main
from ait_cmp.report.unpaired import group_unpaired


@pytest.mark.parametrize(
    ("names", "glob"),
    [
        ([f"model.layers.{n}.self_attn.qkv_proj/out0" for n in range(3)], "*qkv_proj*"),
        ([f"0_M/1_layers.{n}/2_mlp/0_up_proj/after/outtensor0" for n in (0, 1)], "*up_proj*"),
        ([f"Module.model.layers.{n}.mlp.LlamaMLP.forward.0.input.0" for n in (0, 1)], "*mlp*"),
        ([f"model.layers.{n}.self_attn.q_proj.weight" for n in (0, 1)], "*q_proj*"),
        ([f"attn_output,layer_id={n}" for n in (3, 4)], "*attn_output*"),
        (["in.input_ids"] * 2, "in.input_ids"),
        (["logits"], "logits"),
        ([f"块.{n}.注意力/out0" for n in (3, 4)], "*注意力*"),
    ],
)
def test_names_are_grouped_by_their_module(names: list[str], glob: str) -> None:
    (group,) = group_unpaired([(name, True) for name in names])
    assert (group.glob, group.count, group.there, group.without) == (
        glob,
        len(names),
        "golden",
        "my",
    )


def test_groups_come_after_the_faults_and_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {side: [f"{side}.{n}.{name}" for n in range(4) for name in "ab"] for side in "gm"}
    for side, folder in (("g", "golden"), ("m", "my")):
        (tmp_path / folder).mkdir()
        for name in names[side]:
            np.save(tmp_path / folder / f"{name}.npy", np.ones(3))
        both = np.ones(3) if side == "g" else -np.ones(3)
        np.save(tmp_path / folder / "both.npy", both)
    paths = [f"{side}_path={tmp_path / side}" for side in ("golden", "my")]
    assert main([*paths, f"output={tmp_path / 'out'}", "mapping=tree", "executor=serial"]) == 3
    shown = capsys.readouterr().out
    assert "worst 1 of 1 row that does not pass" in shown
    groups = [f"4 golden without my: *{name}*" for name in "ab"]
    groups += [f"4 my without golden: *{name}*" for name in "ab"]
    places = [shown.index(text) for text in ("worst 1 of 1", *groups)]
    assert places == sorted(places)
    assert "`python -m ait_cmp.pair` proposes it" in shown
