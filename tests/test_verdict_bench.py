"""The benchmark of verdicts: what it plants, keeps and judges is what it says."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
import transformers
from torch import Tensor
from verdict import sets
from verdict.faults import FAULTS, Site, strength
from verdict.judged import BY_REFERENCE, DENSITIES, REFERENCE, judge_unit
from verdict.models import VARIANTS, Call, Key, Subject, Variant, golden_rows, pair_of, run
from verdict.recording import WANTED, Unit, read, record_unit, unit_path, write

from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array

KINDS = {kind.name: kind for kind in FAULTS}
BY_NAME = {variant.name: variant for variant in VARIANTS}


def test_no_part_shares_a_subject_with_another() -> None:
    """MiniLM and SmolLM2 are in several, by what they read."""
    named = [{plan.subject for plan in plans} for plans in sets.PARTS.values()]
    assert len(set.union(*named)) == sum(map(len, named))


def test_plans_go_to_other_processes() -> None:
    for plan in (one for plans in sets.PARTS.values() for one in plans):
        assert pickle.loads(pickle.dumps(plan)).faults == plan.faults


def _heads(change: Tensor) -> int:
    return int(change.abs().sum((0, 2, 3)).count_nonzero())


def _channels(change: Tensor) -> int:
    return int(change.abs().flatten(0, -2).sum(0).count_nonzero())


def _lines(change: Tensor) -> int:
    return int(change.abs().flatten(0, -2).sum(1).count_nonzero())


@pytest.mark.parametrize(
    ("name", "parts", "expected"),
    [
        ("one head zero", _heads, 1),
        ("two heads swapped", _heads, 2),
        ("one channel zero", _channels, 1),
        ("two channels swapped", _channels, 2),
        ("one row garbage", _lines, 1),
        ("one element: exponent bit 1 flipped", Tensor.count_nonzero, 1),
        ("all zero", Tensor.count_nonzero, 2 * 4 * 6 * 16),
        ("last shard of the channels zero", _channels, 2),
    ],
)
def test_a_fault_changes_what_its_name_says(
    name: str, parts: Callable[[Tensor], Tensor | int], expected: int
) -> None:
    y = torch.randn(2, 4, 6, 16, generator=torch.Generator().manual_seed(0))
    call = Call(Key(0, "model.layers.1.self_attn", "mul", 0), None, (y,), y)
    site = Site(call, {}, {}, 2, torch.Generator().manual_seed(0))
    faulty = KINDS[name].applied(y, site)
    assert faulty is not None
    assert int(parts(faulty - y)) == expected


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A causal model of two layers, so small that it runs in no time."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(0, 40, (2, 9))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Subject("tiny", model, given, causal=True)


@pytest.fixture(scope="module")
def sites(subject: Subject) -> list[tuple[Site, Tensor]]:
    """Every operation of the golden run, with its output."""
    golden = golden_rows(subject)
    found: list[tuple[Site, Tensor]] = []

    def keep(call: Call) -> None:
        random = torch.Generator().manual_seed(0)
        site = Site(call, golden, {}, subject.batch, random, subject.heads)
        found.append((site, call.out.clone()))

    run(subject, VARIANTS[0], subject.model, keep)
    return found


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("keys and values interleaved, not repeated", {"self_attn:bmm"}),
        ("softmax scale of half the head size", {"self_attn:mul"}),
        ("mask: first key left out", {"self_attn:add"}),
        ("mask: next token seen", {"self_attn:add"}),
        ("all-reduce missing", {"o_proj:mm", "down_proj:mm"}),
        ("gate and up swapped", {"mlp:mul"}),
        ("KV cache: a page of another request", {"self_attn:cat"}),
        ("rotary pairs interleaved", {"rotary_emb:cos", "rotary_emb:sin"}),
        (
            "norm epsilon 1e-3",
            {"input_layernorm:add", "post_attention_layernorm:add", "norm:add"},
        ),
        ("every layer's sums 1 % larger", {"0:add", "1:add"}),
    ],
)
def test_a_fault_of_porting_is_planted_where_it_can_be(
    sites: list[tuple[Site, Tensor]], name: str, places: set[str]
) -> None:
    applied = {
        f"{site.call.key.path.rpartition('.')[2]}:{site.op}"
        for site, out in sites
        if KINDS[name].applied(out, site) is not None
    }
    assert applied == places


def test_interleaved_heads_read_the_keys_of_another_group(
    sites: list[tuple[Site, Tensor]],
) -> None:
    """Four heads read the keys 0, 0, 1, 1; interleaved, 0, 1, 0, 1."""
    kind = KINDS["keys and values interleaved, not repeated"]
    site, out = next((site, out) for site, out in sites if site.op == "bmm" and site.call.key.path)
    made = kind.applied(out, site)
    assert made is not None
    moved = ((made - out).abs() > 1e-6).reshape(2, 4, -1).any(2)
    assert moved.tolist() == [[False, True, True, False]] * 2


def test_a_strength_is_told_by_the_noise_of_the_place() -> None:
    """A massive channel's error does not hide that of the others."""
    random = torch.Generator().manual_seed(0)
    golden = torch.randn(64, 32, generator=random)
    golden[:, 3] *= 1000
    true = golden * (1 + 2**-8 * torch.randn(64, 32, generator=random))
    faulty = true.clone()
    faulty[:, 5] = 0
    rho, snr = strength(faulty, true, golden)
    assert 50 < rho < 1000
    assert snr > 100
    assert strength(true, true, golden) == (0.0, 0.0)


@pytest.fixture(scope="module")
def unit(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """Its bfloat16 run with some faults, written and read again."""
    made = record_unit(subject, golden_rows(subject), BY_NAME["bf16"], faults=12)
    path = unit_path(tmp_path_factory.mktemp("units"), "tiny", "bf16")
    write(made, path)
    return read(path, slices=True)


def _outputs(subject: Subject, variant: Variant) -> dict[Key, tuple[Tensor, Tensor]]:
    golden = golden_rows(subject)
    pairs: dict[Key, tuple[Tensor, Tensor]] = {}

    def keep(call: Call) -> None:
        if pair := pair_of(golden, call, single=False):
            pairs[call.key] = pair[0], pair[1].clone()

    run(subject, variant, variant.model(subject), keep)
    return pairs


def test_what_is_kept_is_what_a_comparison_of_the_tensors_gives(
    subject: Subject, unit: Unit
) -> None:
    pairs = _outputs(subject, BY_NAME["bf16"])
    assert list(pairs) == [row.key for row in unit.rows]
    for case, (golden, my) in zip(unit.cases(), pairs.values(), strict=True):
        sources = [from_memory(*as_array(tensor, "tensor")) for tensor in (golden, my)]
        direct = measure_sources(golden=sources[0], my=sources[1], wanted=WANTED)
        assert (case.stats, case.evidence) == (direct.stats, direct.evidence)
        assert (case.stats.elements, case.shape) == (golden.numel(), tuple(golden.shape))


def test_a_row_reads_rows_before_it_and_modules_give_rows(unit: Unit) -> None:
    by_name = {place.name: unit.rows[place.row].key for place in unit.places[:40]}
    assert by_name["model.layers.1.mlp.down_proj"].path == "model.layers.1.mlp.down_proj"
    assert by_name["model.layers.1.mlp"] == by_name["model.layers.1.mlp.down_proj"]
    assert by_name["model.layers.1"] == Key(0, "model.layers.1", "add", 1)
    assert [place.name for place in unit.places if place.layer][:2] == [
        "model.layers.0",
        "model.layers.1",
    ]
    for at, row in enumerate(unit.rows):
        assert all(one < at for one in row.feeds)
        assert row.feeds or not unit.rows[at].key.path.endswith("_proj")


def test_a_faulty_run_is_the_benign_one_up_to_the_fault(unit: Unit) -> None:
    assert len(unit.faults) == 12
    cases = unit.cases()
    for fault, changed, slices in unit.faulty():
        assert min(changed) == fault.at
        assert slices.keys() == changed.keys()
        assert changed[fault.at].stats != cases[fault.at].stats
        assert {one.row.key for one in fault.changed} == {unit.rows[at].key for at in changed}
    passes, found = judge_unit(unit, load_tolerance("dtype"))
    assert [one.density for one in passes] == list(DENSITIES)
    assert [one.alarms for one in passes] == [[], [], [], []]
    every = [one for one in found if one.density == "every operation"]
    assert len(every) == 12
    assert sum(one.first for one in every) >= 9
    assert not any(one.moved for one in found)


def test_a_reference_judges_what_it_shows(subject: Subject, unit: Unit) -> None:
    """The unit as its own reference: no benign row fails, and faults are told."""
    passes, found = judge_unit(unit, load_tolerance("dtype"), reference=unit)
    by = [one for one in passes if one.by == REFERENCE]
    assert [one.density for one in by] == list(BY_REFERENCE)
    assert not any(one.alarms for one in by)
    every = [one for one in found if one.by == REFERENCE and one.density == "every operation"]
    assert len(every) == 12
    assert sum(one.first for one in every) >= 9


def test_nothing_is_left_to_judge_where_all_is_allowed(unit: Unit) -> None:
    _, found = judge_unit(unit, load_tolerance("none"), densities=["layers"])
    assert found
    assert not any(one.found or one.later for one in found)


def test_rotary_angles_stay_in_float32_in_every_type(subject: Subject) -> None:
    """As a model is loaded; else a benign run would be a faulty one at distant positions."""
    for variant in VARIANTS:
        buffers = dict(variant.model(subject).named_buffers())
        assert buffers["model.rotary_emb.inv_freq"].dtype == torch.float32
