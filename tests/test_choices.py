"""Tokens and experts that differ: a near tie or a fault, and what can be compared afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp import compare_dumps, dump_data
from ait_cmp.__main__ import main
from ait_cmp.engine.choices import look_at_choices, scored_lines
from ait_cmp.judging.choices import is_fed, is_logits
from ait_cmp.judging.comparison import Row
from ait_cmp.judging.inputs import Inputs
from ait_cmp.source import from_array
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

VOCABULARY, HIDDEN, ROUNDS = 50, 16, 5
Array = npt.NDArray[Any]
Run = dict[tuple[int, str], Array]


def generation(*, batch: int = 1, noise: float = 0.0, near: float = 1e-4) -> Run:
    """A model that chooses the largest of its logits, the two largest of which are `near`; its
    hidden states are those of its token. With noise, another build of it."""
    weights = np.random.default_rng(0).normal(size=(VOCABULARY, HIDDEN))
    head = np.random.default_rng(1).normal(size=(HIDDEN, VOCABULARY))
    head[:, 1::2] = head[:, ::2]
    rounding = np.random.default_rng(2)
    ids = np.arange(4, 4 + batch)[:, None]
    found: Run = {}
    for token in range(ROUNDS):
        found[token, "input_ids"] = ids
        hidden = weights[ids]
        for layer in range(2):
            hidden = np.tanh(hidden) + layer
            hidden = hidden * (1 + noise * rounding.normal(size=hidden.shape))
            found[token, f"layers.{layer}"] = hidden.astype(np.float32)
        logits = hidden @ head
        logits[..., ::2] += near
        logits = (logits + noise * rounding.normal(size=logits.shape)).astype(np.float32)
        found[token, "logits"] = logits
        ids = logits[:, -1].argmax(-1)[:, None]
    return found


def saved(folder: Path, run: Run) -> Path:
    """A dump of it."""
    for (token, name), array in run.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        dump_data(token, name, tensor, "unused", folder)
    return folder


def compared(folder: Path, golden: Run, my: Run, **options: Any) -> dict[tuple[int, str], Row]:
    """The rows of two runs, by token and name."""
    paths = saved(folder / "golden", golden), saved(folder / "my", my)
    rows = compare_dumps(golden_path=paths[0], my_path=paths[1], mapping="tree", **options).rows
    return {(row.pair.token_id or 0, row.pair.data_id): row for row in rows}


def told(rows: Mapping[tuple[int, str], Row]) -> dict[tuple[int, str], tuple[str, str | None]]:
    """Status and reason of each row that has a reason."""
    return {
        name: (str(row.verdict.status), row.verdict.reason)
        for name, row in rows.items()
        if row.verdict.reason
    }


def first_flip(golden: Run, my: Run) -> int:
    """The first round that reads other tokens."""
    return next(
        token
        for token in range(ROUNDS)
        if (golden[token, "input_ids"] != my[token, "input_ids"]).any()
    )


def test_a_near_tie_passes_and_what_follows_is_not_compared(tmp_path: Path) -> None:
    golden, my = generation(), generation(noise=1e-4)
    flip = first_flip(golden, my)
    rows = compared(tmp_path, golden, my)
    assert told(rows) == {
        (token, name): ("pass", "NEAR_TIE")
        if (token, name) == (flip, "input_ids")
        else ("skipped", "INPUTS_DIFFER")
        for token, name in golden
        if token >= flip
    }
    sentence = rows[flip, "input_ids"].verdict.sentence
    chosen = (int(run[flip, "input_ids"][0, 0]) for run in (my, golden))
    assert "a near tie: my chose {} where golden chose {}; ".format(*chosen) in sentence
    assert f"golden's margin in token {flip - 1} logits is 0.0001" in sentence
    arguments = (f"golden_path={tmp_path / 'golden'}", f"my_path={tmp_path / 'my'}", "mapping=tree")
    assert main([*arguments, f"output={tmp_path}"]) == 0


def test_the_summary_warns_of_a_near_tie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, my = saved(tmp_path / "g", generation()), saved(tmp_path / "m", generation(noise=1e-4))
    arguments = [f"golden_path={golden}", f"my_path={my}", f"output={tmp_path}", "mapping=tree"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "near tie: token 1 input_ids: my chose" in said
    assert (
        "INPUTS_DIFFER; first token 1 layers.0: the sides read other tokens since token 1" in said
    )
    first = (tmp_path / "cmp_report.csv").read_bytes()
    assert main(arguments) == 0  # of what is stored
    assert (tmp_path / "cmp_report.csv").read_bytes() == first


def _wrong_head(my: Run) -> Run:
    """Every token's logits, but those of one, are halved."""
    found = generation(near=3.0)
    changed = found[0, "logits"].copy()
    changed[..., 1::2] += 4
    return {**found, (0, "logits"): changed, (1, "input_ids"): changed[:, -1].argmax(-1)[:, None]}


def _corrupted(my: Run) -> Run:
    """The ids are not those that the logits say."""
    return {**my, (1, "input_ids"): (my[1, "input_ids"] + 5) % VOCABULARY}


def _far(my: Run) -> Run:
    """The scores that were saved pass, and say that golden's margin is far from a tie."""
    return {**my, (1, "input_ids"): my[1, "input_ids"] ^ 1}


@pytest.mark.parametrize(
    ("fault", "near", "said"),
    [
        (_wrong_head, 3.0, "a fault: token 0 logits does not pass"),
        (_corrupted, 1e-4, "a fault: my's choice is not the largest of my's token 0 logits"),
        (_far, 3.0, "a fault: my's choice is not the largest of my's token 0 logits"),
    ],
)
def test_a_fault_is_no_near_tie(
    fault: Callable[[Run], Run], near: float, said: str, tmp_path: Path
) -> None:
    golden = generation(near=near)
    rows = compared(tmp_path, golden, fault(generation(near=near)))
    verdict = rows[1, "input_ids"].verdict
    assert verdict.status == "fail"
    assert said in verdict.sentence
    assert verdict.findings[0].check == "flip"
    assert {row.verdict.reason for (token, _), row in rows.items() if token > 1} == {
        Reason.INPUTS_DIFFER
    }


def test_one_score_that_jumps_is_no_near_tie(tmp_path: Path) -> None:
    """A change of the margin that is rounding for the row, and not for this element."""
    golden = generation(near=1e-3)
    my = generation(near=1e-3)
    logits = my[0, "logits"] = my[0, "logits"].copy()
    logits[..., 1::2][0, 0, (golden[1, "input_ids"] // 2).item()] += 6e-2
    my |= {(1, "input_ids"): logits[:, -1].argmax(-1)[:, None]}
    rows = compared(tmp_path, golden, my)
    assert rows[0, "logits"].verdict.status == "pass"
    assert rows[1, "input_ids"].verdict.status == "fail"
    assert "times what they differ by elsewhere" in rows[1, "input_ids"].verdict.sentence


def test_what_an_error_turns_that_passes_and_was_not_expected_is_no_near_tie(
    tmp_path: Path,
) -> None:
    """Up to four times the expected error the row of scores passes."""
    golden, my = generation(near=1e-3), generation(near=1e-3)
    scores = golden[0, "logits"].astype(np.float64)
    error = np.random.default_rng(5).normal(size=scores.shape)
    error *= 3 * 0.0078 * np.linalg.norm(scores) / np.linalg.norm(error)
    best = int(golden[1, "input_ids"][0, 0])
    error[0, 0, [best, best ^ 1]] = -0.01, 0.01
    my[0, "logits"] = (scores + error).astype(np.float32)
    my[1, "input_ids"] = my[0, "logits"][:, -1].argmax(-1)[:, None]
    assert int(my[1, "input_ids"][0, 0]) == best ^ 1
    rows = compared(tmp_path, golden, my)
    assert rows[0, "logits"].verdict.status == "pass"
    assert rows[1, "input_ids"].verdict.status == "fail"
    assert "elsewhere in the line, 2.83" in rows[1, "input_ids"].verdict.sentence


def test_without_the_scores_nothing_is_a_near_tie(tmp_path: Path) -> None:
    golden, my = (
        {name: array for name, array in run.items() if name[1] != "logits"}
        for run in (generation(), generation(noise=1e-4))
    )
    flip = first_flip(golden, my)
    verdict = compared(tmp_path, golden, my)[flip, "input_ids"].verdict
    assert verdict.status == "fail"
    assert "dump them (of tokens, the logits of the round before)" in verdict.sentence


def test_the_scores_may_have_any_name_that_is_said(tmp_path: Path) -> None:
    golden, my = (
        {(token, name.replace("logits", "zz")): array for (token, name), array in run.items()}
        for run in (generation(), generation(noise=1e-4))
    )
    decoy = {(token, "logits"): np.zeros((1, 1, VOCABULARY), np.float32) for token in range(ROUNDS)}
    flip = first_flip(golden, my)
    rows = compared(tmp_path / "no", golden | decoy, my | decoy)
    assert rows[flip, "input_ids"].verdict.status == "fail"
    rows = compared(tmp_path / "said", golden | decoy, my | decoy, logits="z*")
    assert rows[flip, "input_ids"].verdict.reason == "NEAR_TIE"


def test_sampled_tokens_are_told(tmp_path: Path) -> None:
    golden, my = generation(), generation()
    golden[1, "input_ids"], my[1, "input_ids"] = np.array([[7]]), np.array([[9]])
    verdict = compared(tmp_path, golden, my)[1, "input_ids"].verdict
    assert verdict.status == "fail"
    assert "so it was sampled" in verdict.sentence


def test_of_a_batch_the_other_sequences_are_compared(tmp_path: Path) -> None:
    golden, my = generation(batch=3, noise=0), generation(batch=3, noise=1e-5)
    for token in range(ROUNDS):  # the same tokens, but for sequence 1 from round 2 on
        my[token, "input_ids"] = golden[token, "input_ids"].copy()
    scores = golden[1, "logits"]
    best = int(scores[1, 0].argmax())
    my[1, "logits"] = scores.copy()
    my[1, "logits"][1, 0, best ^ 1] = scores[1, 0, best] + 1e-6
    my[2, "input_ids"][1, 0] = best ^ 1
    for token in (2, 3, 4):
        for name in ("layers.0", "layers.1", "logits"):
            my[token, name] = golden[token, name].copy()
            my[token, name][1] += 1.0  # another text
    my[3, "layers.1"][2] *= 1.5  # a fault, of another sequence
    rows = compared(tmp_path, golden, my)
    assert told(rows) == {
        (2, "input_ids"): ("pass", "NEAR_TIE"),
        (3, "layers.1"): ("fail", "TOLERANCE"),
    }
    by = rows[4, "logits"].pair.paired_by
    assert "without sequences 1, which read other tokens since token 2 input_ids" in by
    assert rows[4, "logits"].comparison.measured.stats.elements == 2 * VOCABULARY  # type: ignore[union-attr]


def test_a_tensor_that_mixes_sequences_is_not_compared(tmp_path: Path) -> None:
    golden, my = generation(batch=3), generation(batch=3)
    my[2, "input_ids"] = golden[2, "input_ids"].copy()
    my[2, "input_ids"][1] ^= 1
    for run, value in ((golden, 1.0), (my, 2.0)):
        run[2, "mixed"] = np.full((7, HIDDEN), value, np.float32)
        run[2, "positions"] = np.full((1, 4), 3.0, np.float32)
    rows = compared(tmp_path, golden, my)
    assert rows[2, "mixed"].verdict.reason == Reason.INPUTS_DIFFER
    assert "since token 2 input_ids of sequences 1" in rows[2, "mixed"].verdict.sentence
    assert rows[2, "positions"].verdict.reason is None


def test_a_reference_is_cut_as_my_is_and_only_as_long_as_it_reads_golden_s_tokens(
    tmp_path: Path,
) -> None:
    golden, my, trusted = (generation(batch=3, near=1.0, noise=n) for n in (0.0, 1e-5, 1e-5))
    my[2, "input_ids"] = golden[2, "input_ids"].copy()
    my[2, "input_ids"][1] ^= 1
    trusted[3, "input_ids"] = golden[3, "input_ids"].copy()
    trusted[3, "input_ids"][0] ^= 1
    saved(tmp_path / "trusted", trusted)
    rows = compared(tmp_path, golden, my, reference_path=tmp_path / "trusted")
    by = {name: row.verdict.yardstick for name, row in rows.items() if name[1] == "layers.1"}
    assert [by[token, "layers.1"] for token in range(3)] == ["reference"] * 3
    assert all(by[token, "layers.1"].startswith("growth") for token in (3, 4))
    stats = rows[2, "layers.1"].comparison.measured.stats
    assert stats is not None
    assert stats.elements == 2 * HIDDEN


def test_what_is_picked_is_read_by_the_next_round_where_no_row_says_what_is(tmp_path: Path) -> None:
    """Dumps of logits and of what was chosen from them alone; other indices say nothing."""

    def picked(run: Run) -> Run:
        kept = {name: array for name, array in run.items() if name[1] != "input_ids"}
        for token in range(ROUNDS):
            kept[token, "next_token"] = run[token, "logits"][:, -1].argmax(-1)
            kept[token, "some_indices"] = np.arange(3) + (noisy and token == 0)
        return kept

    noisy = False
    golden, noisy = picked(generation()), True
    my = picked(generation(noise=1e-4))
    flip = first_flip(generation(), generation(noise=1e-4)) - 1
    rows = compared(tmp_path, golden, my)
    assert rows[flip, "next_token"].verdict.reason == "NEAR_TIE"
    assert rows[0, "some_indices"].verdict.status == "fail"
    assert rows[flip, "layers.1"].verdict.status == "pass"
    assert {row.verdict.reason for (token, _), row in rows.items() if token > flip} == {
        Reason.INPUTS_DIFFER
    }


# -- experts

TOKENS, EXPERTS, CHOSEN = 12, 8, 2


def routed(noise: float = 0.0, fault: float = 1.0) -> Run:
    """Two layers that send each token to the two experts of the largest scores."""
    random, rounding = np.random.default_rng(3), np.random.default_rng(4)
    hidden = random.normal(size=(TOKENS, HIDDEN))
    found: Run = {(0, "a.input_ids"): np.arange(TOKENS)[None]}
    for layer in range(2):
        gate, experts = random.normal(size=(HIDDEN, EXPERTS)), random.normal(size=(EXPERTS, HIDDEN))
        gate[:, 1::2] = gate[:, ::2] + 1e-5 * random.normal(size=gate[:, ::2].shape)
        scores = hidden @ gate
        scores = (scores + noise * rounding.normal(size=scores.shape)).astype(np.float32)
        ids = np.argsort(-scores, axis=-1)[:, :CHOSEN]
        hidden = hidden + experts[ids].sum(1) * (fault if layer else 1.0)
        name = f"layers.{layer}.b_gate"
        found |= {(0, f"{name}/out0"): scores, (0, f"{name}/out1"): ids}
        found[0, f"layers.{layer}.c_out"] = hidden[None].astype(np.float32)
    return found


def test_tokens_that_went_to_other_experts_are_left_out(tmp_path: Path) -> None:
    golden, my = routed(), routed(noise=1e-4)
    rows = compared(tmp_path, golden, my)
    ids = "layers.0.b_gate/out1"
    moved = np.flatnonzero((golden[0, ids] != my[0, ids]).any(1))
    assert 0 < len(moved) < TOKENS
    assert rows[0, ids].verdict.reason == "NEAR_TIE"
    assert {row.verdict.status for row in rows.values()} == {"pass"}
    stats = rows[0, "layers.0.c_out"].comparison.measured.stats
    assert stats is not None
    assert stats.elements == (TOKENS - len(moved)) * HIDDEN
    assert f"{len(moved)} of {TOKENS} tokens, which went to other experts" in (
        rows[0, "layers.0.c_out"].pair.paired_by
    )


@pytest.mark.parametrize("count", [3, 4, 6])
def test_of_few_experts_honest_flips_are_near_ties(count: int, tmp_path: Path) -> None:
    """Of one or two others in a line chance makes a spread that says nothing."""
    random = np.random.default_rng(7)
    golden, my = dict[tuple[int, str], Array](), dict[tuple[int, str], Array]()
    for token in range(4):
        scores = random.normal(size=(2000, count))
        scores[:, 1] = scores[:, 0] + 1e-3 * random.normal(size=2000)
        scores[:, 2:] -= 3
        rounded = scores + 4e-3 * random.normal(size=scores.shape)
        for run, its in ((golden, scores), (my, rounded)):
            its = its.astype(np.float32)
            run[token, "gate/out0"] = its
            run[token, "gate/out1"] = its.argmax(-1)[:, None]
    rows = compared(tmp_path, golden, my)
    for token in range(4):
        assert rows[token, "gate/out1"].verdict.reason == Reason.NEAR_TIE


def test_a_fault_behind_a_near_tie_of_experts_is_found(tmp_path: Path) -> None:
    rows = compared(tmp_path, routed(), routed(noise=1e-4, fault=1.3))
    assert [name for name, row in rows.items() if row.verdict.status == "fail"] == [
        (0, "layers.1.c_out")
    ]


def learned(run: Run, factor: float = 1.0) -> Run:
    """`run`, and gradients of what its experts are, and of a weight that all tokens have alike."""
    hidden = run[0, "layers.0.c_out"][0]
    of_experts = np.eye(EXPERTS)[run[0, "layers.0.b_gate/out1"][:, 0]].T @ hidden
    of_all = (
        factor * np.arange(1.0, TOKENS + 1)[:, None] * np.random.default_rng(9).normal(size=HIDDEN)
    )
    grads = {"experts/grad.weight": of_experts, "norm/grad.weight": of_all}
    return run | {(0, f"layers.2.{name}"): one.astype(np.float32) for name, one in grads.items()}


def test_what_is_learned_of_tokens_that_went_elsewhere_is_no_fault_and_no_part_of_it_left_out(
    tmp_path: Path,
) -> None:
    """A weight's gradient is a sum of tokens, also where it has as many lines as there are."""
    rows = compared(tmp_path, learned(routed()), learned(routed(noise=1e-4)))
    verdict = rows[0, "layers.2.experts/grad.weight"].verdict
    assert (verdict.status, verdict.reason) == ("skipped", Reason.UNJUDGED)
    assert "some tokens went to other experts since token 0 layers.0.b_gate/out1" in (
        verdict.sentence
    )
    stats = rows[0, "layers.2.norm/grad.weight"].comparison.measured.stats
    assert stats is not None
    assert stats.elements == TOKENS * HIDDEN
    assert rows[0, "layers.2.norm/grad.weight"].verdict.status == "pass"


def test_a_factor_of_what_is_learned_is_a_fault_whatever_tokens_went_elsewhere(
    tmp_path: Path,
) -> None:
    rows = compared(tmp_path, learned(routed()), learned(routed(noise=1e-4), factor=1.5))
    assert rows[0, "layers.2.norm/grad.weight"].verdict.status == "fail"


def learned_by(drift: float) -> Run:
    """Two rounds of a router, which in the second has learned of what went elsewhere."""
    first, second = learned(routed(noise=1e-4)), routed()
    scores = second[0, "layers.0.b_gate/out0"].copy()
    scores[:, 0] += drift
    ids = np.argsort(-scores, axis=-1)[:, :CHOSEN]
    gate = "layers.0.b_gate"
    return first | {(1, f"{gate}/out0"): scores, (1, f"{gate}/out1"): ids}


def test_what_a_router_chooses_that_has_learned_of_other_tokens_may_be_no_fault(
    tmp_path: Path,
) -> None:
    golden = learned(routed()) | {
        (1, name): one for (_, name), one in routed().items() if name.startswith("layers.0.b_gate")
    }
    verdict = compared(tmp_path, golden, learned_by(0.05))[1, "layers.0.b_gate/out1"].verdict
    assert (verdict.status, verdict.reason) == ("skipped", Reason.UNJUDGED)
    assert "what these learned since differs" in verdict.sentence


def test_experts_by_a_bias_are_no_near_tie(tmp_path: Path) -> None:
    golden, my = routed(), routed()
    scores = my[0, "layers.0.b_gate/out0"] = my[0, "layers.0.b_gate/out0"] + 3 * np.eye(
        TOKENS, EXPERTS, dtype=np.float32
    )
    my[0, "layers.0.b_gate/out1"] = np.argsort(-scores, axis=-1)[:, :CHOSEN]
    verdict = compared(tmp_path, golden, my)[0, "layers.0.b_gate/out1"].verdict
    assert verdict.status == "fail"


def grouped(noise: float = 0.0, bias: float = 0.0, lines: int = 2000) -> Run:
    """Four experts of sixteen, in two of four groups, by a bias that nothing gives back."""
    random, rounding = np.random.default_rng(5), np.random.default_rng(6)
    found: Run = {(0, "a.input_ids"): np.arange(lines)[None]}
    scores = random.normal(size=(lines, 16))
    scores = scores + noise * rounding.normal(size=scores.shape)
    biases = 0.05 * random.normal(size=16) + bias * rounding.normal(size=16)
    chosen = 1 / (1 + np.exp(-scores)) + biases
    of_group = np.sort(chosen.reshape(lines, 4, 4))[..., 2:].sum(-1)
    is_in = of_group >= np.sort(of_group)[:, 2:3]
    chosen = np.where(np.repeat(is_in, 4, axis=1), chosen, -1.0)
    found[0, "layers.0.b_gate/out0"] = scores.astype(np.float32)
    found[0, "layers.0.b_gate/out1"] = np.argsort(-chosen, axis=-1)[:, :4]
    return found


@pytest.mark.parametrize(
    ("noise", "bias", "lines", "status"),
    [
        (1e-3, 0.0, 8000, "pass"),
        (1e-3, 0.0, 500, "skipped"),  # too few lines that tell
        (1e-3, 0.01, 2000, "fail"),
        (0.0, 0.01, 300, "fail"),  # the very same scores
    ],
)
def test_experts_by_what_is_made_of_the_scores_are_told_by_where_these_moved(
    noise: float, bias: float, lines: int, status: str, tmp_path: Path
) -> None:
    runs = grouped(lines=lines), grouped(noise, bias, lines)
    verdict = compared(tmp_path, *runs)[0, "layers.0.b_gate/out1"].verdict
    assert verdict.status == status
    assert "lines that tell, scores moved towards my's choice" in verdict.sentence


# -- what is recognised


@pytest.mark.parametrize(
    ("name", "fed"),
    [
        *((name, True) for name in ("in.input_ids", "model/in.input_ids", "input_ids", "tokens")),
        *(("model.embed_tokens/in0", True), ("transformer.wte/in0", True)),
        *(("in.position_ids", False), ("token_type_ids", False), ("num_tokens_per_expert", False)),
        *(("out.logits", False), ("layers.0.mlp.gate/out2", False), ("cache_tokens", False)),
        *(("num_tokens", False), ("max_tokens", False), ("decoder_input_ids", True)),
    ],
)
def test_names_of_what_is_fed(name: str, fed: bool) -> None:
    assert is_fed(name) is fed


@pytest.mark.parametrize(
    ("name", "logits"),
    [
        *((name, True) for name in ("out.logits", "logits", "lm_head/out0", "model.lm_head/out0")),
        *((name, False) for name in ("lm_head/in0", "lm_head/weight", "lm_head.weight")),
        *((name, False) for name in ("grad.out.logits", "model/grad.out.logits")),
        *((f"lm_head/{own}", False) for own in ("bias", "grad.weight", "grad.out0", "weight_g")),
        *((f"lm_head/state.{own}", False) for own in ("weight.exp_avg", "weight.step")),
    ],
)
def test_names_of_logits(name: str, logits: bool) -> None:
    assert is_logits(name) is logits


@pytest.mark.parametrize(
    ("ids", "scores", "fits"),
    [
        ((1, 1), (1, 1, 9), (1, 1)),
        ((1, 1), (1, 5, 9), (1, 5)),  # of a prompt the last position
        ((3, 1), (3, 5, 9), (1, 5)),
        ((3,), (3, 9), (1, 1)),
        ((3, 5), (3, 5, 9), (1, 1)),
        ((12, 2), (12, 8), (2, 1)),
        ((2, 6, 4), (2, 6, 8), (4, 1)),
        ((3, 4), (3, 5, 9), (4, 5)),
        ((2, 6, 4), (12, 3), None),
        ((7,), (3, 9), None),
        ((), (9,), (1, 1)),
        ((4,), (), None),
        ((0, 2), (0, 8), None),
    ],
)
def test_which_scores_fit_which_ids(
    ids: tuple[int, ...], scores: tuple[int, ...], fits: tuple[int, int] | None
) -> None:
    assert scored_lines(ids, scores) == fits


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_flips_are_those_of_a_plain_search(lines: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    golden, my = random.normal(size=(2, lines, 7)).round(1).astype(np.float32)
    ids = [np.argsort(-scores, axis=1, kind="stable")[:, :width] for scores in (golden, my)]
    found = look_at_choices(
        golden=from_array(ids[0], "golden"),
        my=from_array(ids[1], "my"),
        width=1,
        golden_scores=from_array(golden, "golden"),
        my_scores=from_array(my, "my"),
    )
    differing = [line for line in range(lines) if (ids[0][line] != ids[1][line]).any()]
    assert [flip.line for flip in found.flips] == differing
    for flip in found.flips:
        one, two = ids[0][flip.line], ids[1][flip.line]
        assert (flip.golden_top, flip.my_top) == (True, True)
        scores = golden[flip.line].astype(np.float64)
        assert flip.margin >= np.abs(scores[one] - scores[two]).max()
        lost, won = np.setdiff1d(one, two), np.setdiff1d(two, one)
        if width == 1:
            assert flip.margin == scores[lost[0]] - scores[won[0]]
        # What turns a choice is no less than the margin that it had.
        assert flip.change + 1e-6 >= scores[one].min() - scores[two].min()
        assert flip.size == pytest.approx(np.sqrt(np.mean(scores**2)))


# -- what is left


def _pair(name: str = "x") -> Pair:
    return Pair(name, 0, Location.of("g"), Location.of("m"))


@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        ((2, 6, 16), ["drop(2, 3)"]),
        ((12, 16), ["drop(1, 3)"]),
        ((2, 4, 6, 16), ["transpose(1, 2)", "drop(2, 3)"]),  # heads before positions
        ((2, 16), []),  # of each sequence the last position, which stayed
        ((2, 1, 16), []),
        ((5, 16), None),
        ((), None),
    ],
)
def test_where_a_tensor_has_its_tokens(shape: tuple[int, ...], steps: list[str] | None) -> None:
    inputs = Inputs()
    inputs.enter(_pair())
    inputs.read((2, 6))
    inputs.move([3], 12, _pair("gate"))
    left = inputs.left(_pair(), shape, None)
    assert ([str(one) for one in left.steps] if left.error is None else None) == steps


def test_rows_of_single_experts_are_not_compared() -> None:
    inputs = Inputs()
    inputs.enter(_pair())
    inputs.read((2, 6))
    inputs.move([3], 12, _pair("gate"))
    left = inputs.left(_pair("layers.0.mlp.experts.3.up_proj/in0"), (12, 16), None)
    assert left.error is not None
    inputs.enter(Pair("x", 1, Location.of("g"), Location.of("m")))  # the next round is another
    assert inputs.left(_pair("layers.0.mlp.experts.3.up_proj/in0"), (2, 16), None).error is None


def test_of_a_run_all_of_which_is_gone_what_is_damaged_stays_an_error() -> None:
    inputs = Inputs()
    inputs.enter(_pair())
    inputs.read((1, 1))
    inputs.lose([0], 1, _pair(), now=True)
    kept = inputs.left(_pair(), None, PairError(Reason.BIN_TRUNCATED, "short"))
    gone = inputs.left(_pair(), None, PairError(Reason.MY_MISSING, "none"))
    assert kept.error is None
    assert gone.error is not None
    assert gone.error.reason == Reason.INPUTS_DIFFER


def test_rounds_that_one_side_has_alone_are_of_what_is_gone(tmp_path: Path) -> None:
    """Where the others of a batch have ended."""
    golden, my = generation(batch=2), generation(batch=2)
    my[2, "input_ids"] = golden[2, "input_ids"].copy()
    my[2, "input_ids"][1] ^= 1
    longer = my | {(ROUNDS, name): array for (token, name), array in my.items() if token == 3}
    rows = compared(tmp_path, golden, longer)
    assert {row.verdict.reason for (token, _), row in rows.items() if token == ROUNDS} == {
        Reason.INPUTS_DIFFER
    }
