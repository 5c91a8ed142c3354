"""Each module by itself: what golden's modules make of what my's were given."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ait_cmp
from ait_cmp import RunComparison
from ait_cmp.isolating.recording import recorded
from ait_cmp.isolating.structure import Held, mapped, places
from ait_cmp.judging import Status
from ait_cmp.values.errors import Reason, UsageError

LAYERS = 5
WIDTH = 32


@dataclass
class State:
    """What goes from layer to layer, as a cache that each changes."""

    hidden: torch.Tensor
    seen: list[torch.Tensor]


class Mlp(nn.Module):
    """A container that multiplies by itself, between its children."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)
        self.slope = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down(torch.sigmoid(self.gate(x) * self.slope) * self.up(x))
        return out


class Layer(nn.Module):
    """Takes a dataclass, and changes the cache in it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(WIDTH), Mlp()
        self.residual = 1.0

    def forward(self, state: State, *, scales: dict[str, Any]) -> State:
        state.seen.append(self.norm(state.hidden) * scales["by"][0])
        added = self.mlp(torch.stack(state.seen).mean(0))
        return State(state.hidden * self.residual + added, state.seen)


class Model(nn.Module):
    """Some layers, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.embed = nn.Embedding(50, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, 50)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        state = State(self.embed(ids), [])
        for layer in self.layers:
            state = layer(state, scales={"by": (torch.tensor(1.5),)})
        out: torch.Tensor = self.head(state.hidden)
        return out


IDS = torch.arange(24).reshape(2, 12)


def wrong(name: str) -> Callable[[Any], None]:
    """A change of a module, of its weight or of what it does itself."""

    def weight(model: Any) -> None:
        with torch.no_grad():
            model.get_submodule(name).weight[3] *= 1.5

    def slope(model: Any) -> None:
        model.get_submodule(name).slope = 1.3

    def residual(model: Any) -> None:
        model.get_submodule(name).residual = 0.9

    return slope if name.endswith("mlp") else residual if name[-1].isdigit() else weight


def isolated(my: nn.Module, golden: nn.Module | None = None, inputs: Any = IDS) -> RunComparison:
    """My beside a golden model, on the same ids."""
    found: RunComparison = ait_cmp.isolate(golden=golden or Model().eval(), my=my, inputs=inputs)
    return found


def blamed(found: RunComparison) -> set[str]:
    """The modules that fail by themselves."""
    alone = [row.pair.alone for row in found.rows if row.verdict.status is Status.FAIL]
    return {one.module for one in alone if one}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_nobody_is_blamed_of_a_run_in_another_type(dtype: torch.dtype) -> None:
    found = isolated(Model().to(dtype))
    assert found.passed, found
    levels = [row.comparison.measured.evidence for row in found.rows]
    assert all(one is None or one.level < 0.02 for one in levels)  # None of ids


@pytest.mark.parametrize(
    "names",
    [
        ("layers.1.norm", "layers.2.mlp.up"),
        ("embed", "head"),
        ("layers.0.mlp.down", "layers.3.mlp"),
        ("layers.0", "layers.4.mlp.gate"),
        ("layers.2.mlp", "layers.2.mlp.down", "layers.3"),
    ],
)
def test_each_fault_is_named_behind_another_and_nobody_else(names: tuple[str, ...]) -> None:
    my = Model()
    for name in names:
        wrong(name)(my)
    found = isolated(my.to(torch.bfloat16))
    assert blamed(found) == set(names)
    first = [row.pair.alone.module for row in found.divergences if row.pair.alone]
    assert first == sorted(names, key=first.index)  # each once


def test_own_error_stands_beside_that_of_the_runs() -> None:
    my = Model()
    wrong("layers.0.norm")(my)
    table = isolated(my).to_polars()
    later = table.filter(table["data_id"] == "layers.4.mlp.up/out0").row(0, named=True)
    assert later["own_error"] < 1e-6 < 1e-3 < later["error_level"]
    assert later["own_module"] == "layers.4.mlp.up"
    assert later["status"] == "pass"


def test_what_a_module_is_given_is_judged_as_its_containers() -> None:
    my = Model()
    wrong("layers.3.mlp")(my)
    failing = [row for row in isolated(my).rows if row.verdict.status is Status.FAIL]
    assert [row.pair.data_id for row in failing] == ["layers.3.mlp.down/in0"]


def test_golden_is_as_it_was_before() -> None:
    golden = Model().train()
    golden.norm = nn.BatchNorm1d(12)
    before = copy.deepcopy(golden.state_dict())
    weights = {name: id(one) for name, one in golden.named_parameters()}
    random = torch.get_rng_state()
    isolated(Model().eval(), golden)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(one, before[name]) for name, one in golden.state_dict().items())
    assert {name: id(one) for name, one in golden.named_parameters()} == weights
    assert all(one.training for one in golden.modules())
    assert all("forward" not in vars(one) for one in golden.modules())


class Dropping(nn.Module):
    """Random, with state of its own, and it changes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)
        self.drop, self.add = nn.Dropout(0.5), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.add(self.norm(self.drop(self.first(x))))
        return out


def test_a_mode_of_my_is_my_own_fault() -> None:
    torch.manual_seed(0)
    golden = Dropping().eval()
    my = copy.deepcopy(golden)
    my.drop.train()  # forgotten
    assert blamed(isolated(my, golden, torch.randn(64, WIDTH))) == {"drop"}
    my.drop.eval()
    my.training = True  # of what has no mode of its own
    assert not blamed(isolated(my, golden, torch.randn(64, WIDTH)))


def test_hooks_of_both_sides_are_called_once() -> None:
    golden, my = Model().eval(), Model().eval()
    for name in ("layers.0.mlp", "layers.2.mlp"):
        for module in (golden.get_submodule(name), my.get_submodule(name)):
            module.register_forward_hook(lambda _, args, out: out * 1.3)
            module.register_forward_pre_hook(lambda _, args: (args[0] * 1.3, *args[1:]))
    assert not blamed(isolated(my, golden))
    assert len(golden.get_submodule("layers.0.mlp")._forward_hooks) == 1


def test_random_numbers_state_and_changes_in_place_are_replayed() -> None:
    torch.manual_seed(0)
    golden = Dropping().train()
    my = copy.deepcopy(golden)
    rows = isolated(my, golden, torch.randn(64, WIDTH)).rows
    assert {row.verdict.status for row in rows} == {Status.PASS}
    assert "add/left.0.0" in {row.pair.data_id for row in rows}


def test_a_run_of_several_rounds_is_recorded_as_a_whole() -> None:
    def generate(model: nn.Module) -> None:
        for step in range(3):
            model(IDS + step)

    my = Model()
    wrong("layers.1.norm")(my)
    found = isolated(my, inputs=generate)
    assert {row.pair.token_id for row in found.rows} == {0, 1, 2}
    assert [row.pair.token_id for row in found.divergences] == [0]
    assert blamed(found) == {"layers.1.norm"}


class Choosy(Mlp):
    """Takes few types, as products of experts do; or runs only so often."""

    def __init__(self, types: Sequence[torch.dtype], times: int = 100) -> None:
        super().__init__()
        self.types, self.times = types, iter(range(times))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype in self.types, "takes no such type"
        assert next(self.times, None) is not None, "ran too often"
        return super().forward(x)


def choosy(types: Sequence[torch.dtype], times: int = 100) -> Model:
    """A golden model with one such module."""
    golden = Model()
    one = Choosy(types, times)
    one.load_state_dict(golden.get_submodule("layers.2.mlp").state_dict())
    golden.get_submodule("layers.2").mlp = one
    return golden


def test_what_golden_cannot_run_is_said_as_rows() -> None:
    rows = isolated(Model(), choosy([torch.float32, torch.float64], times=1)).rows
    errors = [row for row in rows if row.verdict.reason is Reason.NOT_REPLAYED]
    assert "layers.2.mlp/out0" in {row.pair.data_id for row in errors}
    assert all("ran too often" in row.verdict.sentence for row in errors)
    assert blamed(isolated(Model(), choosy([torch.float32, torch.float64], times=1))) == set()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_takes_no_float64_runs_in_float32(dtype: torch.dtype) -> None:
    types = [torch.float32, torch.bfloat16]
    found = isolated(Model().to(dtype), choosy(types))
    assert found.passed
    assert all(row.verdict.status is Status.PASS for row in found.rows)
    said = {row.pair.data_id for row in found.rows if "golden's in float32" in row.pair.paired_by}
    assert said == {
        "layers.2.mlp/out0",
        *(f"layers.2.mlp.{of}/in0" for of in ("gate", "up", "down")),
    }
    my = Model()
    wrong("layers.2.mlp")(my)
    wrong("layers.1.mlp.up")(my)
    assert blamed(isolated(my.to(dtype), choosy(types))) == {"layers.2.mlp", "layers.1.mlp.up"}


def test_float32_shows_no_rounding_of_float32() -> None:
    """Golden's module in my's types is then golden itself, and another order of a sum no fault."""
    my = Model()
    for name in ("layers.1.mlp.up", "layers.3.mlp.down"):
        my.get_submodule(name).forward = _backwards(my.get_submodule(name))
    found = ait_cmp.isolate(golden=Model(), my=my, inputs=IDS, precision="float32")
    assert found.passed
    wrong("layers.3.mlp.down")(my)
    found = ait_cmp.isolate(golden=Model(), my=my, inputs=IDS, precision="float32")
    assert blamed(found) == {"layers.3.mlp.down"}


def _backwards(linear: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        parts = zip(x.chunk(4, -1), linear.weight.chunk(4, -1), strict=True)
        out: torch.Tensor = linear.bias + sum(nn.functional.linear(*pair) for pair in parts)
        return out

    return forward


def test_what_has_no_partner_is_judged_with_the_module_around_it() -> None:
    class Wrapped(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.Linear(2 * WIDTH, 2 * WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.down(self.extra(torch.sigmoid(self.gate(x)) * self.up(x)))
            return out

    my = Model()
    torch.manual_seed(3)
    other = Wrapped()
    other.load_state_dict(my.get_submodule("layers.1.mlp").state_dict(), strict=False)
    my.get_submodule("layers.1").mlp = other
    assert blamed(isolated(my)) == {"layers.1.mlp"}


def test_a_run_is_saved_and_judged_again(tmp_path: Path) -> None:
    my = Model()
    wrong("layers.0.norm")(my)
    found = isolated(my.to(torch.bfloat16))
    found.save(tmp_path)
    again = ait_cmp.load(tmp_path)
    assert [row.verdict for row in again.rows] == [row.verdict for row in found.rows]
    assert [row.pair.alone for row in again.rows] == [row.pair.alone for row in found.rows]


def test_a_compiled_module_is_judged_as_a_whole() -> None:
    """It tells no length, as modules that hold others do."""

    class Compiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up: Any = torch.compile(nn.Linear(WIDTH, WIDTH), backend="eager")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.up(x)
            return out

    golden, my = Compiled(), Compiled()
    my.load_state_dict(golden.state_dict())
    inputs = torch.linspace(-1, 1, 4 * WIDTH).reshape(4, WIDTH)
    assert isolated(my, golden, inputs).passed
    with torch.no_grad():
        my.up.weight[3] *= 2
    assert blamed(isolated(my, golden, inputs)) == {"up@OptimizedModule"}


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="my must be a torch"):
        ait_cmp.isolate(golden=Model(), my=3, inputs=IDS)
    with pytest.raises(UsageError, match="float64 and float32"):
        ait_cmp.isolate(golden=Model(), my=Model(), inputs=IDS, precision="int8")


def test_structures_are_made_again_with_what_they_share() -> None:
    one = torch.ones(2)
    held = mapped(
        {"a": [one, (one, 3)], "s": State(one, [])}, lambda x: Held(x.clone(), "cpu", x.dtype)
    )
    assert [name for name, _ in places(held)] == ["a.0"]  # which is one tensor, wherever
    assert held["a"][0] is held["a"][1][0] is held["s"].hidden
    loop: list[Any] = [one]
    loop.append(loop)
    made = mapped(loop, lambda x: x + 1)
    assert made[1] is made
    assert made[0].tolist() == [2.0, 2.0]


def test_a_tensor_is_kept_once_for_each_of_its_states() -> None:
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Identity())
    with recorded(model) as recording:
        model(torch.tensor([-1.0, 2.0]))
    first, second, third = (call.inputs[0][1] for call in recording.calls[1:])
    assert first is second
    assert second.tensor.tolist() == [-1.0, 2.0]
    assert third.tensor.tolist() == [0.0, 2.0]


def test_a_change_below_rounding_shows_where_others_have_the_very_bits() -> None:
    my = Model().to(torch.bfloat16)
    norm: Any = my.get_submodule("layers.3.norm")
    norm.eps = 2e-3
    found = isolated(my)
    assert blamed(found) == {"layers.3.norm"}
    (row,) = found.divergences
    assert row.verdict.findings[0].check == "replay"
    assert "4 of 5 modules of its class give the very bits" in row.verdict.sentence


class Attend(nn.Module):
    """Adds up what a mask lets be seen; fused, where no mask means those before."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        seen = torch.ones(x.shape[-2], x.shape[-2], dtype=x.dtype)
        if mask is not None and mask.dtype is torch.bool:
            seen = seen * ~mask
        elif mask is not None:
            seen = seen * mask
        elif self.fused:
            seen = seen.tril()
        return seen @ x


class Holder(nn.Module):
    """Gives a mask to what is not fused."""

    def __init__(self, *, fused: bool, chooses: bool = False) -> None:
        super().__init__()
        self.attend, self.chooses = Attend(fused=fused), chooses

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[-2]
        mask = None if self.attend.fused else torch.ones(size, size, dtype=x.dtype).tril()
        if self.chooses:
            mask = torch.ones(size, size, dtype=torch.bool).tril().logical_not()
        out: torch.Tensor = self.attend(x, mask=mask)
        return out


class Adding(Attend):
    """Knows no mask of True and False."""

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        assert mask is not None
        return (torch.ones(9, 9, dtype=x.dtype) * mask) @ x


@pytest.mark.parametrize("chooses", [False, True])
def test_a_mask_that_my_has_no_need_of_is_that_of_goldens_own_run(chooses: bool) -> None:
    x = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(1))
    golden = Holder(fused=False)
    golden.attend = Adding(fused=False)
    found = isolated(Holder(fused=True, chooses=chooses), golden, x)
    by_name = {row.pair.data_id: row for row in found.rows}
    assert by_name["attend/out0"].verdict.status is Status.PASS
    assert any("mask of golden's own run" in row.pair.paired_by for row in found.rows)


class Truncating(nn.Linear):
    """A product of inputs that were cut to tf32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = (
            (each.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)
            for each in (x, self.weight.detach())
        )
        return nn.functional.linear(one, other, self.bias)


def test_nobody_is_blamed_of_tf32_and_a_fault_in_it_is() -> None:
    my = Model()
    for module in my.modules():
        if type(module) is nn.Linear:
            module.__class__ = Truncating
    assert isolated(my).passed
    wrong("layers.1.mlp.up")(my)
    assert blamed(isolated(my)) == {"layers.1.mlp.up"}


class Renamed(nn.Module):
    """A feed-forward network in the words of another family."""

    def __init__(self, words: dict[str, str]) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.words = words
        layers = nn.ModuleList()
        for _ in range(4):
            layer = nn.Module()
            inner = nn.Module()
            for word, sizes in (("gate", (16, 32)), ("up", (16, 32)), ("down", (32, 16))):
                inner.add_module(words[word], nn.Linear(*sizes))
            layer.add_module(words["norm"], nn.LayerNorm(16))
            layer.add_module(words["mlp"], inner)
            layers.append(layer)
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        words = self.words
        for layer in self.layers:
            inner: Any = getattr(layer, words["mlp"])
            y = getattr(layer, words["norm"])(x)
            y = torch.sigmoid(getattr(inner, words["gate"])(y)) * getattr(inner, words["up"])(y)
            x = x + getattr(inner, words["down"])(y)
        return x


HUGGING = {"mlp": "mlp", "gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
META = {"mlp": "feed_forward", "gate": "w1", "up": "w3", "down": "w2"}


def test_modules_of_other_names_are_paired_and_it_is_said(caplog: Any) -> None:
    golden = Renamed({**HUGGING, "norm": "post_attention_layernorm"})
    my = Renamed({**META, "norm": "ffn_norm"})
    with torch.no_grad():
        my.get_submodule("layers.2.feed_forward.w3").weight[3] *= 1.5  # type: ignore[operator, index]
    x = torch.randn(7, 16, generator=torch.Generator().manual_seed(2))
    found = isolated(my, golden, x)
    assert blamed(found) == {"layers.2.feed_forward.w3"}
    assert "pairs of modules are guessed" in caplog.text
    (row,) = found.divergences
    assert row.pair.paired_by.startswith("guess ")


def test_what_is_behind_a_nan_is_judged_on_what_golden_was_given() -> None:
    my, golden = Model(), Model().eval()
    norm: Any = my.get_submodule("layers.0.norm")
    with torch.no_grad():
        norm.weight[2] = float("nan")
    wrong("layers.2.mlp")(my)
    wrong("layers.3.mlp.up")(my)
    both: dict[str, Any] = {"golden": golden, "my": my.to(torch.bfloat16), "inputs": IDS}
    assert blamed(ait_cmp.isolate(**both)) == {"layers.0.norm"}
    found = ait_cmp.isolate(**both, given="golden")
    assert blamed(found) == {"layers.0.norm", "layers.2.mlp", "layers.3.mlp.up"}
    assert ait_cmp.isolate(golden=golden, my=Model(), inputs=IDS, given="golden").passed
    with pytest.raises(UsageError, match="neither my nor golden"):
        ait_cmp.isolate(**both, given="both")


class Blocks(nn.Module):
    """Residual blocks, each of which may be compiled, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers: Any = nn.ModuleList(Mlp() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + layer(x)
        out: torch.Tensor = self.head(x)
        return out


@pytest.mark.parametrize("apart", [False, True], ids=["torch.compile", "compile"])
@pytest.mark.parametrize("places", [[2], range(LAYERS)], ids=["one", "each"])
def test_a_compiled_layer_is_told_from_what_is_around_it(
    apart: bool, places: Sequence[int]
) -> None:
    """It has kernels of its own, too: no bits of other modules of its class say what its are."""
    torch._dynamo.reset()
    my = Blocks().bfloat16()
    for place in places:
        layer: Any = my.layers[place]
        if apart:
            layer.compile(backend="eager")
        else:
            my.layers[place] = torch.compile(layer, backend="eager")
    inputs = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(1))
    compiled = [vars(one).get("_compiled_call_impl") for one in my.modules()]
    assert isolated(my, Blocks(), inputs).passed
    assert [vars(one).get("_compiled_call_impl") for one in my.modules()] == compiled
    with torch.no_grad():
        for name, weight in my.named_parameters():
            if name.startswith("layers.2.") and name.endswith("up.weight"):
                weight[3] *= 9
        my.head.weight[3] *= 2
    found = isolated(my, Blocks(), inputs)
    assert blamed(found) == {"layers.2" if apart else "layers.2@OptimizedModule", "head"}
    alone = [row.pair.alone for row in found.rows if row.pair.data_id.endswith("out0")]
    assert all(one is not None and one.in_run is not None for one in alone)
    assert isolated(Blocks().bfloat16(), my.float(), inputs).rows  # golden is compiled


@pytest.mark.parametrize("masked", [False, True])
def test_encoders_of_torch_call_their_modules_on_both_sides(masked: bool) -> None:
    """Which they do where there are hooks, and golden's modules have none while they are run."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True)
    golden = nn.TransformerEncoder(layer, 2).eval()
    my = copy.deepcopy(golden).bfloat16()
    inputs = {"src": torch.randn(2, 7, WIDTH)}
    if masked:
        inputs["src_key_padding_mask"] = torch.arange(14).reshape(2, 7) > 11
    assert isolated(my, golden, inputs).passed
    with torch.no_grad():
        for name in ("layers.0.linear1", "layers.1.linear2"):
            my.get_parameter(f"{name}.weight")[3] *= 2
    assert blamed(isolated(my, golden, inputs)) == {"layers.0.linear1", "layers.1.linear2"}
    assert torch.backends.mha.get_fastpath_enabled()


class Lending(nn.Module):
    """Hands its own modules to others, which call one, and a method and a weight of one."""

    class Borrowing(nn.Module):
        def forward(self, x: torch.Tensor, one: Any, method: Any, other: Any) -> torch.Tensor:
            out: torch.Tensor = method(one(x)) * other.weight[0]
            return out

    class Twice(nn.Linear):
        def twice(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self(x)
            return 2 * out

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.c = (self.Twice(WIDTH, WIDTH) for _ in range(3))
        self.layers = nn.ModuleList(self.Borrowing() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + layer(x, self.a, self.b.twice, other=self.c)
        return x


def test_a_module_that_is_handed_on_is_goldens_own() -> None:
    my, inputs = Lending().bfloat16(), torch.randn(4, WIDTH)
    assert isolated(my, Lending(), inputs).passed
    with torch.no_grad():
        my.b.weight[3] *= 2
    assert blamed(isolated(my, Lending(), inputs)) == {"b"}
    golden = Lending()
    golden.b = golden.a
    found = isolated(Lending(), golden, inputs)
    said = "it was given b, which golden has no module of"
    assert any(said in row.verdict.sentence for row in found.rows)


class Remembering(nn.Module):
    """Keeps in a buffer what came in earlier calls, as a cache of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: torch.Tensor
        self.register_buffer("seen", torch.zeros(4, WIDTH))
        self.lin = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, at: int) -> torch.Tensor:
        self.seen[at] = self.lin(x)
        out: torch.Tensor = torch.tanh(self.seen[: at + 1].sum(0))
        return out


def test_buffers_that_calls_change_are_as_they_were() -> None:
    """Each call sees what those before left in my's, and afterwards there is nothing of the run."""

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.layers: Any = nn.ModuleList(Remembering() for _ in range(3))

        def forward(self, x: torch.Tensor, at: int) -> torch.Tensor:
            for layer in self.layers:
                x = x + layer(x, at)
            return x

    def read(model: nn.Module) -> None:
        own = next(model.parameters()).dtype
        for at, x in enumerate(torch.linspace(-1, 1, 4 * WIDTH, dtype=own).reshape(4, WIDTH)):
            model(x, at)

    golden, my = Stack(), Stack().bfloat16()
    assert isolated(my, golden, read).passed
    assert not any(one.seen.any() for model in (golden, my) for one in model.layers)
    with torch.no_grad():
        my.layers[0].lin.weight[3] *= 2
        my.layers[2].lin.weight[3] *= 2
    assert blamed(isolated(my, golden, read)) == {"layers.0.lin", "layers.2.lin"}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "norm",
    [
        *(nn.utils.weight_norm, nn.utils.parametrizations.weight_norm),
        *(nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm),
    ],
)
def test_weights_that_hooks_make_are_made_for_golden_once(norm: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    golden, my = (
        nn.Sequential(*(norm(nn.Linear(WIDTH, WIDTH)) for _ in range(4))).train() for _ in range(2)
    )
    my.load_state_dict(golden.state_dict())
    my.to(dtype)
    inputs = torch.randn(8, WIDTH)
    assert isolated(my, golden, inputs).passed
    with torch.no_grad():
        for name in ("1", "3"):
            my.get_parameter(f"{name}.bias")[3] += 2
    assert blamed(isolated(my, golden, inputs)) == {"1", "3"}


def test_a_model_that_was_made_in_inference_mode_is_as_it_was() -> None:
    with torch.inference_mode():
        golden, my = (nn.Sequential(nn.BatchNorm1d(WIDTH)).eval() for _ in range(2))
    before = copy.deepcopy(golden.state_dict())
    assert isolated(my, golden, torch.randn(8, WIDTH)).passed
    assert all(torch.equal(one, before[name]) for name, one in golden.state_dict().items())


def test_what_my_alone_gives_back_beside_others_is_no_fault() -> None:
    """An attention gives its weights back in one kernel, and none in another."""

    class Attention(nn.Module):
        def __init__(self, *, tells: bool) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.tells, self.lin = tells, nn.Linear(WIDTH, WIDTH)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            return self.lin(x).relu(), torch.softmax(x, -1) if self.tells else None

    golden, my = Attention(tells=False), Attention(tells=True)
    renamed: Any = lambda x: {"other": x, "more": x}  # noqa: E731
    found = isolated(my, golden, torch.randn(4, WIDTH))
    rows = {row.pair.data_id: row.verdict for row in found.rows}
    assert rows["out1"].status is Status.SKIPPED
    assert rows["out1"].reason is Reason.UNPAIRED
    assert found.passed
    vars(my)["forward"] = renamed
    rows = {row.pair.data_id: row.verdict for row in isolated(my, golden, torch.ones(4, 32)).rows}
    assert rows["out.other"].reason is Reason.NOT_REPLAYED


class FewBits(nn.Module):
    """A linear layer whose weights are of eight bits, with one scale a row or one of all."""

    def __init__(self, linear: nn.Linear, *, by_row: bool) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale: torch.Tensor
        self.codes: torch.Tensor
        largest = weight.abs().amax(1, keepdim=True) if by_row else weight.abs().amax().reshape(1)
        self.register_buffer("scale", largest / 127)
        self.register_buffer("codes", (weight / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.codes.to(x.dtype) * self.scale.to(x.dtype)
        return nn.functional.linear(x, weight, self.bias)


def _of_few_bits(model: nn.Module, how: str) -> Any:
    """The same, each linear layer quantised."""
    if how == "dynamic":
        quantise: Any = torch.ao.quantization.quantize_dynamic
        return quantise(model, {nn.Linear}, torch.qint8)
    for name, module in [*model.named_modules()]:
        if isinstance(module, nn.Linear):
            around, _, own = name.rpartition(".")
            made = FewBits(module, by_row=how == "rows")
            setattr(model.get_submodule(around), own, made)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per:UserWarning")
@pytest.mark.parametrize("how", ["rows", "whole", "dynamic"])
def test_nobody_is_blamed_of_weights_of_few_bits_and_faults_in_them_are(how: str) -> None:
    inputs = torch.randn(16, WIDTH, generator=torch.Generator().manual_seed(4))
    assert isolated(_of_few_bits(Blocks(), how), Blocks(), inputs).passed
    my = Blocks()
    with torch.no_grad():
        for name in ("layers.1.up", "layers.3.gate"):
            my.get_parameter(f"{name}.weight")[:16] *= -1
    assert blamed(isolated(_of_few_bits(my, how), Blocks(), inputs)) == {
        "layers.1.up",
        "layers.3.gate",
    }


class Caching(nn.Module):
    """Has a cache of its own, which each round adds to and none but the next reads."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.scale = nn.Linear(WIDTH, WIDTH), 1.0
        self.kept: torch.Tensor
        self.register_buffer("kept", torch.zeros(4, WIDTH))
        self.register_buffer("last", None)
        self.forgets = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        place = int(self.kept.any(1).sum())
        out: torch.Tensor = self.up(x) + self.kept.sum(0)
        self.last = self.up.weight[0]
        if not self.forgets:
            self.kept[place] = x.mean(0) * self.scale
        return out


def remembering(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(WIDTH)
    return nn.Sequential(Caching(), norm, Caching()).to(dtype)


def four_rounds(model: nn.Module) -> None:
    torch.manual_seed(5)
    dtype = next(model.parameters()).dtype
    for _ in range(4):
        model(torch.randn(6, WIDTH).to(dtype))


def test_what_a_module_leaves_in_its_own_buffers_is_judged() -> None:
    golden: Any = remembering()
    assert not blamed(isolated(remembering(torch.bfloat16), golden, four_rounds))
    assert golden[0].last is None
    my: Any = remembering(torch.bfloat16)
    my[0].scale, my[1].momentum = 1.3, 0.5
    found = isolated(my, golden, four_rounds)
    assert blamed(found) == {"0", "1"}
    failing = {row.pair.data_id for row in found.rows if row.verdict.status is Status.FAIL}
    assert {"0/left.kept", "1/left.running_mean", "1/left.running_var"} <= failing
    my = remembering()
    my[2].forgets = True  # what golden alone changes is a row as well
    found = isolated(my, golden, four_rounds)
    assert blamed(found) == {"2"}


class Apart(nn.Module):
    """Keeps what a module inside changes, without being given it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(WIDTH))
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)
        return out


def apart() -> Apart:
    torch.manual_seed(1)
    model = Apart()

    def keep(_: nn.Module, args: Any, out: Any) -> None:
        model.kept += args[0].mean(0)

    model.inner.register_forward_hook(keep)
    return model


def test_what_a_module_inside_changes_of_another_s_buffers_is_not_compared() -> None:
    found = isolated(apart(), apart(), torch.randn(6, WIDTH))
    rows = {row.pair.data_id: row for row in found.rows}
    assert not blamed(found)
    assert rows["left.kept"].pair.error
    assert "is not given it" in rows["left.kept"].pair.error.args[1]


def test_a_change_that_torch_does_not_count_is_seen() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.first, self.act = nn.Linear(WIDTH, WIDTH), nn.Tanh()
            self.last = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.first(x)
            hidden.data.mul_(1.5)
            out: torch.Tensor = self.last(self.act(hidden))
            return out

    found = isolated(Writing().bfloat16(), Writing(), torch.randn(6, WIDTH))
    assert found.passed, found


class Box:
    """Holds what it is given."""


def _nested(store: Any, y: torch.Tensor) -> None:
    store.setdefault("a", {}).setdefault("b", []).append(y)


def _put(store: Any, y: torch.Tensor) -> None:
    store.k = getattr(store, "k", 0) + y


def _in_place(store: Any, y: torch.Tensor) -> None:
    store["k"].add_(y)


def _taken(store: Any, y: torch.Tensor) -> None:
    store["k"] = y
    store.pop("old", None)


def _swapped(store: Any, y: torch.Tensor) -> None:
    store["one"], store["two"] = store["two"] + y, store["one"]


# What is given to modules inside, what they do to it, and what is made of it then.
FILLED: dict[str, tuple[Callable[[torch.Tensor], Any], Callable[..., Any], Callable[..., Any]]] = {
    "dict": (lambda x: {}, lambda s, y: s.update(k=s.get("k", 0) + y), lambda s: s["k"]),
    "nested": (lambda x: {}, _nested, lambda s: sum(s["a"]["b"])),
    "list": (lambda x: [x], lambda s, y: s.insert(0, y), lambda s: s[0] + 2 * s[1] + 3 * s[2]),
    "object": (lambda x: Box(), _put, lambda s: s.k),
    "in place": (
        lambda x: {"k": torch.zeros_like(x), "e": torch.ones(1, WIDTH).to(x).expand(x.shape)},
        *(_in_place, lambda s: s["k"] + s["e"]),
    ),
    "taken": (lambda x: {"old": x}, _taken, lambda s: s["k"] * len(s)),
    "swapped": (lambda x: {"one": x + 1, "two": x - 1}, _swapped, lambda s: s["one"]),
    "number": (lambda x: Box(), lambda s, y: setattr(s, "seen", 3), lambda s: s.seen),
}


class Filling(nn.Linear):
    """Changes what it is given."""

    def __init__(self, how: str) -> None:
        super().__init__(WIDTH, WIDTH)
        self.how = how

    def forward(self, x: torch.Tensor, store: Any) -> torch.Tensor:  # type: ignore[override]
        y = super().forward(x)
        FILLED[self.how][1](store, y)
        return y


class Filled(nn.Module):
    """Goes on with what modules inside changed; how it hands it to them is of no matter."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.one, self.two = how, Filling(how), Filling(how)
        self.slope, self.named = 1.0, True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before, _, after = FILLED[self.how]
        kept = store = before(x)
        for inner in (self.one, self.two):
            y = inner(x, store=store) if self.named else inner(x, store)
        out: torch.Tensor = y + x * self.slope * after(kept)
        return out


@pytest.mark.parametrize("how", FILLED)
def test_what_modules_inside_fill_is_there_for_the_rest(how: str) -> None:
    torch.manual_seed(0)
    golden = nn.Sequential(Filled(how), nn.LayerNorm(WIDTH))
    my: Any = copy.deepcopy(golden).bfloat16()
    my[0].named = False
    found = isolated(my, golden, torch.randn(9, WIDTH))
    assert {row.verdict.status for row in found.rows} == {Status.PASS}
    my[0].slope = 1.2
    with torch.no_grad():
        my[0].two.weight[3] *= 2
    assert blamed(isolated(my, golden, torch.randn(9, WIDTH))) == {"0", "0.two"}


class Past(nn.Linear):
    """Remembers in plain attributes, one of which is not there before the first call."""

    def __init__(self) -> None:
        super().__init__(WIDTH, WIDTH)
        self.past: list[torch.Tensor] = []
        self.calls, self.step, self.decay, self.forgets = 0, 1, 0.5, False
        self.sum: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        self.calls += self.step
        self.past.append(y)
        self.sum = self.sum * self.decay + y if hasattr(self, "sum") else y
        out = self.sum / self.calls + torch.stack(self.past).mean(0)
        if self.forgets:
            self.past.clear()
        return out


def of_pasts(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Sequential(Past(), nn.LayerNorm(WIDTH)) for _ in range(4))).to(dtype)


def test_plain_attributes_are_as_they_were_before_each_call() -> None:
    golden, my = of_pasts(), of_pasts(torch.bfloat16)
    found = isolated(my, golden, four_rounds)
    assert {row.verdict.status for row in found.rows} == {Status.PASS}
    named = {row.pair.data_id for row in found.rows}
    assert {"0.0/left.sum", "0.0/left.past.3", "0.0/left.calls"} <= named
    for one in (golden[0][0], my[0][0]):
        assert (one.past, one.calls, hasattr(one, "sum")) == ([], 0, False)


@pytest.mark.parametrize(("name", "value"), [("decay", 0.45), ("step", 2), ("forgets", True)])
def test_what_a_module_leaves_in_plain_attributes_is_judged(name: str, value: float) -> None:
    my = of_pasts(torch.bfloat16)
    setattr(my[1][0], name, value)
    with torch.no_grad():
        my[2][0].weight[3] *= 1.5
    found = isolated(my, of_pasts(), four_rounds)
    missing = [row for row in found.rows if row.verdict.reason is Reason.MY_MISSING]
    lacking = {row.pair.alone.module for row in missing if row.pair.alone}
    assert lacking == ({"1.0"} if name == "forgets" else set())
    assert blamed(found) | lacking == {"1.0", "2.0"}


class Stateless(nn.Linear):
    """Does not count its calls."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class Counting(Stateless):
    """Does, and goes on otherwise after the second."""

    calls_seen: list[int]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls_seen = [*getattr(self, "calls_seen", []), 1]
        assert len(self.calls_seen) <= 4, "golden's own state was left in it"
        return super().forward(x)


def test_state_that_my_does_not_have_is_that_of_goldens_own_run() -> None:
    golden = nn.Sequential(Counting(WIDTH, WIDTH), nn.LayerNorm(WIDTH))
    my = nn.Sequential(Stateless(WIDTH, WIDTH), nn.LayerNorm(WIDTH))
    my.load_state_dict(golden.state_dict())
    found = isolated(my, golden, four_rounds)
    assert {row.verdict.status for row in found.rows} == {Status.PASS}
    assert any("calls_seen of golden's own run" in row.pair.paired_by for row in found.rows)
