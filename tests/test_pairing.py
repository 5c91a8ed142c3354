"""Pairs that are proposed where names differ: none is wrong, and what is left says why."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp.__main__ import main
from ait_cmp.commands.status import ExitStatus
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.pairing import Proposal, propose
from ait_cmp.mapping.pairing.names import read_names

Array = npt.NDArray[np.float32]

TOKENS, HIDDEN, INNER, KEYS, LAYERS = 6, 32, 48, 16, 3
BUDGET = 1 << 30
SIZES = {
    "input_layernorm": HIDDEN,
    "self_attn.q_proj": HIDDEN,
    "self_attn.k_proj": KEYS,
    "self_attn.v_proj": KEYS,
    "self_attn.o_proj": HIDDEN,
    "post_attention_layernorm": HIDDEN,
    "mlp.gate_proj": INNER,
    "mlp.up_proj": INNER,
    "mlp.down_proj": HIDDEN,
}
# The same modules as other families call them.
META = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
}


def _run(seed: int = 0) -> dict[str, Array]:
    """Outputs of a model, by Hugging Face's names, in order."""
    drawn = np.random.default_rng(seed)
    names = {f"layers.{n}.{name}": size for n in range(LAYERS) for name, size in SIZES.items()}
    names = {"embed_tokens": HIDDEN, **names, "norm": HIDDEN, "lm_head": 40}
    return {
        f"model.{name}": drawn.standard_normal((1, TOKENS, size)).astype(np.float32)
        for name, size in names.items()
    }


def _noisy(run: Mapping[str, Array], level: float = 0.01) -> dict[str, Array]:
    drawn = np.random.default_rng(99)
    return {
        name: (one * (1 + level * drawn.standard_normal(one.shape))).astype(np.float32)
        for name, one in run.items()
    }


def _write(folder: Path, run: Mapping[str, Array]) -> Path:
    """A plain folder, one file a tensor, in order of time."""
    folder.mkdir(parents=True)
    for name, array in run.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def _propose(golden: Path, my: Path, budget: int | None = BUDGET) -> Proposal:
    sides = list_dump("golden_path", str(golden)), list_dump("my_path", str(my))
    return propose(golden=sides[0].ranks, my=sides[1].ranks, budget=budget)


def _names(found: Proposal) -> dict[tuple[str, ...], tuple[str, ...]]:
    return {
        tuple(one.name.text for one in match.golden): tuple(one.name.text for one in match.my)
        for match in found.matches
    }


def _in_meta_words(name: str) -> str:
    for ours, theirs in META.items():
        if name.endswith(f".{ours}"):
            return name.removesuffix(ours).removeprefix("model.") + theirs
    last = name.removeprefix("model.")
    return {"embed_tokens": "tok_embeddings", "norm": "norm", "lm_head": "output"}[last]


@pytest.mark.parametrize("budget", [None, BUDGET])
def test_other_words_for_the_same_modules_pair_by_their_names(
    budget: int | None, tmp_path: Path
) -> None:
    run = _run()
    golden = _write(tmp_path / "golden", run)
    my = _write(tmp_path / "my", {_in_meta_words(name): one for name, one in _noisy(run).items()})
    found = _propose(golden, my, budget)
    assert _names(found) == {(name,): (_in_meta_words(name),) for name in run}
    assert found.left == ()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.floats(0.0, 0.05), st.integers(0, 3))
def test_names_that_say_nothing_pair_by_contents_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, drawn: random.Random, noise: float, lost: int
) -> None:
    """In any order, with some tensors of my missing: what pairs is right."""
    folder = tmp_path_factory.mktemp("couple")
    run = _run()
    names = list(run)
    drawn.shuffle(names)
    kept = names[lost:]
    called = {name: f"{number:03}" for number, name in enumerate(kept)}
    noisy = _noisy(run, noise)
    golden = _write(folder / "golden", run)
    my = _write(folder / "my", {f"x{called[name]}": noisy[name] for name in kept})
    found = _names(_propose(golden, my))
    assert found == {(name,): (f"x{called[name]}",) for name in run if name in called}


def test_a_fault_does_not_change_who_belongs_to_whom(tmp_path: Path) -> None:
    """From layer 1 on nothing agrees: names of layers and what layer 0 taught still tell."""
    run = _run()
    noisy = _noisy(run)
    other = _run(seed=7)
    faulty = {
        name: other[name] if f".{LAYERS - 1}." in name else one for name, one in noisy.items()
    }
    golden = _write(tmp_path / "golden", run)
    codes = {name: f"op{number}" for number, name in enumerate(SIZES)}

    def coded(name: str) -> str:
        return next((name.replace(one, codes[one]) for one in SIZES if name.endswith(one)), name)

    my = _write(tmp_path / "my", {coded(name): one for name, one in faulty.items()})
    assert _names(_propose(golden, my)) == {(name,): (coded(name),) for name in run}


def test_several_that_are_about_equally_good_are_left_out_with_their_reason(
    tmp_path: Path,
) -> None:
    one = _run()["model.embed_tokens"]
    golden = _write(tmp_path / "golden", {"a": one, "b": one * np.float32(1.002)})
    my = _write(tmp_path / "my", {"x": one * np.float32(1.001), "y": one * np.float32(1.003)})
    found = _propose(golden, my)
    assert found.matches == ()
    assert {left.why for left in found.left} == {"2 golden and 2 my tensors hold the same"}


def test_what_is_one_tensor_under_several_names_pairs_in_order(tmp_path: Path) -> None:
    """What one module gives is what the next one takes: any of them is right."""
    one = _run()["model.embed_tokens"]
    golden = _write(tmp_path / "golden", {"a": one, "b": one, "c": one})
    noisy = _noisy({"x": one})["x"]
    found = _propose(golden, _write(tmp_path / "my", {"x": noisy, "y": noisy}))
    assert _names(found) == {("a",): ("x",), ("b",): ("y",)}
    assert [(left.name, left.why) for left in found.left] == [
        ("c", "3 golden and 2 my tensors hold the same")
    ]


@pytest.mark.parametrize("budget", [None, BUDGET])
def test_fused_parts_are_joined_in_their_order(budget: int | None, tmp_path: Path) -> None:
    run = _run()
    my = {}
    for name, one in _noisy(run).items():
        stem, _, last = name.rpartition(".")
        if last == "q_proj":
            parts = [run[f"{stem}.{part}_proj"] for part in "qkv"]
            my[f"{stem}.qkv_proj"] = np.concatenate(parts, axis=-1)[0]
        elif last == "gate_proj":
            parts = [run[f"{stem}.{part}_proj"] for part in ("gate", "up")]
            my[f"{stem}.gate_up_proj"] = np.concatenate(parts, axis=-1)[0]
        elif last not in ("k_proj", "v_proj", "up_proj"):
            my[name] = one[0]
    golden, folder = _write(tmp_path / "golden", run), _write(tmp_path / "my", my)
    found = _propose(golden, folder, budget)
    assert found.left == ()
    fused = [one for one in found.matches if len(one.golden) > 1]
    assert {one.golden_steps for one in fused} == {"concat(-1) | squeeze(0)"}
    roles = [tuple(one.name.role for one in match.golden) for match in fused]
    assert sorted(roles) == [("gate", "up")] * LAYERS + [("q", "k", "v")] * LAYERS


@pytest.mark.parametrize("mixed_is_my", [True, False])
def test_a_fused_qkv_is_found_group_by_group(mixed_is_my: bool, tmp_path: Path) -> None:
    """Also behind a fault, where nothing agrees, as other layers have it; else it stays out."""
    drawn = np.random.default_rng(0)
    straight = {
        f"model.layers.{n}.self_attn.qkv_proj": drawn.normal(size=(9, 64)) for n in range(3)
    }
    mixed = {}
    for layer, one in enumerate(straight.values()):
        q, k, v = (np.split(part, 2, 1) for part in np.split(one, [32, 48], 1))
        turned = np.concatenate([q[0], k[0], v[0], q[1], k[1], v[1]], 1)
        turned = drawn.normal(size=(9, 64)) if layer == 2 else turned
        mixed[f"decoder.layers.{layer}.self_attention.linear_qkv"] = turned[:, None]
    sides = [
        _write(tmp_path / name, {key: one.astype(np.float32) for key, one in of.items()})
        for name, of in (("straight", straight), ("mixed", mixed))
    ]
    golden, my = sides if mixed_is_my else sides[::-1]
    found = _propose(golden, my)
    steps = "regroup(-1, 2, 32, 16, 16)"
    assert [steps in (one.golden_steps + one.my_steps) for one in found.matches] == [True] * 3
    assert _propose(golden, my, None).matches == ()


def test_weights_that_lie_transposed_say_so(tmp_path: Path) -> None:
    """GPT-2's Conv1D keeps its weights so; of a square one only its contents tell."""
    drawn = np.random.default_rng(0)
    run = {
        "h.0.mlp.c_fc.weight": drawn.standard_normal((16, 16)).astype(np.float32),
        "h.0.mlp.c_proj.weight": drawn.standard_normal((16, 8)).astype(np.float32),
    }
    golden = _write(tmp_path / "golden", run)
    my = _write(tmp_path / "my", {name.replace("c_", "x_"): one.T for name, one in run.items()})
    found = _propose(golden, my)
    assert [one.golden_steps for one in found.matches] == ["transpose(0, 1)"] * 2


NAMES = [
    ("model.layers.3.self_attn.o_proj/out0", (3,), "o", "out", "0"),
    ("layers.3.self_attn/in.hidden_states", (3,), "attn", "in", "hidden_states"),
    (
        "0_LlamaForCausalLM/0_model/1_layers.0/2_attn/0_q_proj/after/outtensor0",
        (0,),
        "q",
        "out",
        "0",
    ),
    ("Module.model.layers.1.mlp.LlamaMLP.forward.0.input.0", (1,), "mlp", "in", "0"),
    ("Module.model.norm.LlamaRMSNorm.forward.0.parameters.weight", (), "norm", "param", "weight"),
    ("transformer.h.2.mlp.c_proj.weight", (2,), "down", "param", "weight"),
    ("decoder.layers.3.self_attention.linear_qkv.weight", (3,), "qkv_mixed", "param", "weight"),
    ("encoder.layer.0.attention.output.dense.weight", (0,), "encoder.o", "param", "weight"),
    ("attn_output,layer_id=3,recompute_status=disabled", (3,), "attn", "out", "0"),
    ("model-00001-of-00002::lm_head.weight", (), "lm_head", "param", "weight"),
    ("3_Decoder_layer/2_Attention/1_Linear/after/outtensor0", (0,), "linear", "out", "0"),
]


@pytest.mark.parametrize(("text", "layer", "role", "kind", "which"), NAMES)
def test_names_of_all_spellings_are_read(
    text: str, layer: Sequence[int], role: str, kind: str, which: str
) -> None:
    # Among others, since a side without inputs has outputs alone.
    found = read_names([text, "x/in0"])[0]
    assert (found.layer, found.role, found.kind, found.which) == (layer, role, kind, which)


def _compare(folder: Path, golden: Path, my: Path, *arguments: str) -> pl.DataFrame:
    main(
        [
            f"golden_path={golden}",
            f"my_path={my}",
            f"output={folder / 'report'}",
            "report.formats=[parquet]",
            "executor=serial",
            *arguments,
        ]
    )
    return pl.read_parquet(folder / "report" / "cmp_report.parquet")


def test_a_proposal_is_a_mapping_that_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run()
    golden = _write(tmp_path / "golden", run)
    my = _write(tmp_path / "my", {_in_meta_words(name): one for name, one in _noisy(run).items()})
    file = tmp_path / "pairs.yaml"
    assert main(["pair", f"golden_path={golden}", f"my_path={my}", f"output={file}"]) == 0
    assert f"{len(run)} pairs of {len(run)} golden tensors" in capsys.readouterr().out
    again = ["pair", f"golden_path={golden}", f"my_path={my}", f"output={file}"]
    assert main(again) == 0
    proposed = file.read_text()
    file.write_text(f"{proposed}# mine\n")
    assert main(again) == ExitStatus.NO_REPORT
    assert "choose another output=… or remove it" in capsys.readouterr().err
    assert file.read_text() == f"{proposed}# mine\n"
    table = _compare(tmp_path, golden, my, f"mapping={file}")
    assert set(table["status"]) <= {"pass", "fail"}
    assert table["data_id"].to_list() == sorted(run) or len(table) == len(run)
    assert all(by.startswith(("guess 0.98: names: ", "name")) for by in table["paired_by"])


def test_auto_guesses_by_names_where_plain_ones_fail_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run()
    golden = _write(tmp_path / "golden", run)
    my = _write(tmp_path / "my", {_in_meta_words(name): one for name, one in run.items()})
    table = _compare(tmp_path, golden, my)
    assert set(table["status"]) == {"pass"}
    assert all(by.startswith("guess ") for by in table["paired_by"])
    assert "pairs are guessed by names, order and shapes" in capsys.readouterr().err
    table = _compare(tmp_path, golden, my, "mapping=tree")
    assert set(table["status"]) == {"error"}


def test_plain_names_that_pair_half_are_taken_alone(tmp_path: Path) -> None:
    run = _run()
    golden = _write(tmp_path / "golden", run)
    most = {name if "mlp" not in name else _in_meta_words(name): run[name] for name in run}
    table = _compare(tmp_path, golden, _write(tmp_path / "my", most))
    assert set(table.filter(pl.col("status") != "error")["paired_by"]) == {"name"}
    assert (table["status"] == "error").sum() == 2 * LAYERS * 3


# -- layers that are counted otherwise

COUNTS = {
    "from 1": lambda layer: layer + 1,
    "behind the embedding": lambda layer: layer + 1,
    "only every second": lambda layer: None if layer % 2 else layer // 2,
    "one lost, and counted through": lambda layer: None if layer == 1 else max(layer - 1, 0),
    "the second stage alone": lambda layer: layer - 3 if layer > 2 else None,
    "backwards": lambda layer: 5 - layer,
    "the first ones alone": lambda layer: layer if layer < 3 else None,
}
CUT = [("from 1", 3), ("from 1", 0), ("behind the embedding", 3), ("only every second", 2)]
CUT += [("one lost, and counted through", 3), ("one lost, and counted through", 1)]


def _deep(seed: int = 0) -> dict[str, Array]:
    """Outputs of six layers."""
    drawn = np.random.default_rng(seed)
    names = [f"model.layers.{n}.{name}" for n in range(6) for name in SIZES]
    sizes = list(SIZES.values())
    return {
        name: drawn.standard_normal((1, TOKENS, sizes[at % len(sizes)])).astype(np.float32)
        for at, name in enumerate(names)
    }


def _recounted(name: str, count: Callable[[int], int | None], words: bool) -> str | None:
    _, _, layer, rest = name.split(".", 3)
    number = count(int(layer))
    if number is None:
        return None
    return f"decoder.layers.{number}.{META[rest]}" if words else f"model.layers.{number}.{rest}"


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize(("how", "faulty"), [*((one, 6) for one in COUNTS), *CUT])
def test_layers_that_are_counted_otherwise_pair_by_contents_or_not_at_all(
    how: str, faulty: int, words: bool, tmp_path: Path
) -> None:
    """Behind the fault nothing agrees; a pair of two layers would be judged as if it were right."""
    run, noisy, other = _deep(), _noisy(_deep()), _deep(seed=7)
    truth = {name: _recounted(name, COUNTS[how], words) for name in run}
    my = {
        called: (noisy if int(name.split(".")[2]) < faulty else other)[name]
        for name, called in truth.items()
        if called
    }
    if how == "behind the embedding":
        embedding = _recounted("model.layers.0.self_attn.o_proj", lambda _: 0, words) or ""
        my[embedding] = _deep(seed=3)["model.layers.0.self_attn.o_proj"]
    found = _propose(_write(tmp_path / "golden", run), _write(tmp_path / "my", my))
    right = {
        match.golden[0].name.text
        for match in found.matches
        if truth[match.golden[0].name.text] == match.my[0].name.text
    }
    wrong = [one for one in found.matches if one.golden[0].name.text not in right]
    # Equal names stay where the contents tell of no other, and say what these tell.
    assert all(one.is_same_name and (one.against or faulty < 6) for one in wrong)
    assert not wrong or how == "backwards" or faulty == 0
    if how != "backwards":
        assert right >= {name for name, one in truth.items() if one and faulty == 6}
    if how == "from 1":
        assert len(right) == len(run) or faulty == 0


@pytest.mark.parametrize("how", ["from 1", "only every second", "the first ones alone"])
def test_numbers_that_may_be_counted_otherwise_pair_nothing_by_themselves(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _deep()
    truth = {name: _recounted(name, COUNTS[how], words=True) for name in run}
    my = {called: run[name] for name, called in truth.items() if called}
    golden, folder = _write(tmp_path / "golden", run), _write(tmp_path / "my", my)
    assert _propose(golden, folder, None).matches == ()
    assert set(_compare(tmp_path, golden, folder)["status"]) == {"error"}
    assert "numbers alone do not tell which is which" in capsys.readouterr().err


def test_equal_names_of_layers_that_are_counted_otherwise_are_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most names are equal, so that nothing is guessed: what is said of a fault says so too, and
    contents tell who belongs together where they may be read."""
    run = _deep()
    my = {_recounted(name, COUNTS["from 1"], words=False) or "": run[name] for name in run}
    golden, folder = _write(tmp_path / "golden", run), _write(tmp_path / "my", my)
    table = _compare(tmp_path, golden, folder)
    equal = table.filter(pl.col("golden_data_path").is_not_null() & (pl.col("status") != "error"))
    assert set(equal["status"]) == {"fail"}
    assert all("doubted" in by for by in equal["paired_by"])
    assert all(
        "the sides may count otherwise" in said for said in table["first_divergence"].drop_nulls()
    )
    assert "mapping.contents=true looks which belong together" in capsys.readouterr().err
    table = _compare(tmp_path, golden, folder, "mapping.contents=true")
    assert set(table["status"]) == {"pass"}
    assert len(table) == len(run)


def test_numbers_with_gaps_are_those_of_the_layers(tmp_path: Path) -> None:
    run = _deep()
    some = {name: one for name, one in run.items() if name.split(".")[2] in "025"}
    my = {_recounted(name, int, words=True) or "": one for name, one in some.items()}
    found = _propose(_write(tmp_path / "golden", run), _write(tmp_path / "my", my), None)
    assert {one.golden[0].name.text for one in found.matches} == set(some)


def test_experts_that_each_rank_counts_are_no_others(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    kind = "mlp.experts.{}.down_proj"
    held = [drawn.standard_normal((2, 8)).astype(np.float32) for _ in range(4)]
    run = {f"model.layers.0.{kind.format(n)}": one for n, one in enumerate(held)}
    my = {f"decoder.layers.0.{kind.format(n)}": one for n, one in enumerate(held[2:])}
    golden, folder = _write(tmp_path / "golden", run), _write(tmp_path / "my", my)
    assert _propose(golden, folder, None).matches == ()
    right = dict(zip([(one,) for one in list(run)[2:]], [(one,) for one in my], strict=True))
    assert _names(_propose(golden, folder)) == right


def test_contents_that_agree_with_another_name_part_a_pair_or_are_said(tmp_path: Path) -> None:
    """Wrong names, or a model that takes q for k: nothing tells, so neither is taken."""
    run = {name: one for name, one in _run().items() if "layers.2" not in name}
    swapped = {"self_attn.v_proj": "self_attn.k_proj", "self_attn.k_proj": "self_attn.v_proj"}
    my = dict(_noisy(run))
    for one, other in swapped.items():
        my[f"model.layers.1.{one}"] = run[f"model.layers.1.{other}"]
    golden = _write(tmp_path / "golden", run)
    found = _propose(golden, _write(tmp_path / "same", my))
    marked = [one.by for one in found.matches if one.against]
    assert len(marked) == 2
    assert all("and those of my model.layers.1.self_attn." in by for by in marked)
    words = {_in_meta_words(name): one for name, one in my.items()}
    found = _propose(golden, _write(tmp_path / "words", words))
    assert {one.name for one in found.left if one.side == "golden"} == {
        f"model.layers.1.{one}" for one in swapped
    }
    assert "add the pair that is meant" in found.left[0].why


def test_equal_names_that_seem_shifted_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _deep()
    my = {_recounted(name, lambda n: n + 1, words=False) or "": one for name, one in run.items()}
    _compare(tmp_path, _write(tmp_path / "golden", run), _write(tmp_path / "my", my))
    assert "equal names are of different tensors" in capsys.readouterr().err


def test_entries_of_names_that_are_nowhere_and_what_has_none_say_what_to_do(tmp_path: Path) -> None:
    run = _run()
    golden = _write(tmp_path / "golden", run)
    my = _write(tmp_path / "my", {_in_meta_words(name): one for name, one in run.items()})
    file = tmp_path / "pairs.yaml"
    entries = [
        "{golden: model.norm, my: norm}",
        "{golden: model.nrom, my: nrom}",
        "{golden: model.lm_head, my: lm_head}",
        "{golden: [model.layers.0.self_attn.q_proj, ghost], golden_adapters: concat(1), my: x}",
        "{golden: model.embed_tokens, my: [tok_embeddings, ghost], my_adapters: concat(-1)}",
    ]
    file.write_text("\n- ".join(["kind: names\nnames:", *entries]))
    table = _compare(tmp_path, golden, my, f"mapping={file}", "unpaired=ignore")
    said = {row["data_id"]: row for row in table.iter_rows(named=True) if row["status"] == "error"}
    places = {
        "model.nrom": "entry 2 (line 4) of the mapping names the golden tensor 'model.nrom'",
        "model.lm_head": "entry 3 (line 5) of the mapping names the my tensor 'lm_head'",
        "model.layers.0.self_attn.q_proj": "entry 4 (line 6) of the mapping names the golden",
        "model.embed_tokens": "entry 5 (line 7) of the mapping names the my tensor 'ghost'",
    }
    assert {name: said[name]["cmp_fail_reason"][: len(of)] for name, of in places.items()} == places
    assert len(said) == len(places)
    assert table.filter(pl.col("status") == "pass")["data_id"].to_list() == ["model.norm"]
    table = _compare(tmp_path, golden, my, f"mapping={file}")
    left = table.filter(pl.col("data_id") == "model.layers.0.mlp.up_proj")["cmp_fail_reason"][0]
    assert "add an entry of golden and my to its names, or leave out what has none by unp" in left
