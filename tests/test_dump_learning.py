"""Dumps of weights, gradients and what an optimizer keeps."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ait_cmp import RunComparison, compare_dumps, dump_modules
from ait_cmp.judging import Status

ALL = ("tensor", "grad", "weight", "optimizer")


class Block(torch.nn.Module):
    """A residual block that changes tensors in place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.up, self.down = torch.nn.Linear(width, 2 * width), torch.nn.Linear(2 * width, width)
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.nn.functional.gelu(self.up(self.norm(x)))
        dropped: torch.Tensor = self.drop(self.down(inner))
        return dropped.add_(x)


class Model(torch.nn.Module):
    """Blocks, a buffer, and a head that is tied to the embedding."""

    scale: torch.Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(50, width)
        self.blocks: Any = torch.nn.ModuleList([Block(width) for _ in range(6)])
        self.head = torch.nn.Linear(width, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        found: torch.Tensor = self.head(x * self.scale)
        return found


IDS = torch.arange(24).view(2, 12)


@pytest.fixture
def model() -> Model:
    """In training."""
    torch.manual_seed(0)
    return Model()


def _train(model: Model, steps: int = 2, dtype: torch.dtype | None = None) -> list[torch.Tensor]:
    """Losses, and in the end all that was learned and drawn."""
    torch.manual_seed(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            logits = model(IDS)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), IDS.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found += [loss.detach(), logits.detach().clone()]
    kept = [value for state in optimizer.state.values() for value in state.values()]
    weights = [one.detach() for one in model.parameters()]
    return [*found, *kept, *weights, *(one.grad for one in model.parameters()), torch.rand(2)]


def _dumped(
    model: Model, folder: Path, types: Sequence[str] = ALL, **more: Any
) -> list[torch.Tensor]:
    with dump_modules(model, folder, types=types, execute_range=[(0, 1)], **more):
        return _train(model)


@pytest.mark.parametrize("more", [{}, {"fingerprint": True}])
def test_dumping_changes_no_bit(model: Model, tmp_path: Path, more: dict[str, Any]) -> None:
    plain = _train(copy.deepcopy(model))
    watched = _dumped(copy.deepcopy(model), tmp_path / "dump", **more)
    for one, two in zip(plain, watched, strict=True):
        assert torch.equal(one, two)


def test_nothing_stays(model: Model, tmp_path: Path) -> None:
    _dumped(model, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    _train(model)
    assert sorted(tmp_path.rglob("*")) == before
    assert not any(one._post_accumulate_grad_hooks for one in model.parameters())


def _rows(run: RunComparison) -> dict[tuple[int | None, str], Any]:
    return {(row.pair.token_id, row.pair.data_id): row for row in run.rows}


def test_every_kind_is_there_by_its_name_with_its_values(model: Model, tmp_path: Path) -> None:
    start = copy.deepcopy(model)
    for side in ("golden", "my"):
        after = copy.deepcopy(start)
        _dumped(after, tmp_path / side)
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert run.passed
    rows = _rows(run)
    names = {name for _, name in rows}
    inside = {"blocks.3.up/weight", "blocks.3.norm/bias", "scale", "embed/weight", "head/weight"}
    grads = {f"blocks.3.up/grad.{one}" for one in ("weight", "bias", "out0")} | {"head/grad.out0"}
    states = {f"blocks.3.up/state.weight.{one}" for one in ("exp_avg", "exp_avg_sq", "step")}
    assert inside | grads | states <= names
    assert {token for token, name in rows if name == "blocks.3.up/weight"} == {0}  # once
    assert {token for token, name in rows if name in grads | states} == {0, 1}
    order = [name for token, name in rows if token == 0]
    places = [order.index(one) for one in ("blocks.3.up/weight", "embed/out0", "blocks.5/out0")]
    back = [order.index(f"blocks.{number}.up/grad.weight") for number in (5, 0)]
    assert [*places, *back] == sorted([*places, *back])
    assert order.index("embed/state.weight.exp_avg") > back[-1]
    shown = rows[0, "blocks.3.up/weight"].comparison.measured.stats.golden
    assert shown.maximum == start.blocks[3].up.weight.max().item()


def test_a_weight_that_differs_is_where_it_began(model: Model, tmp_path: Path) -> None:
    _dumped(copy.deepcopy(model), tmp_path / "golden")
    with torch.no_grad():
        model.blocks[2].down.weight[:, 5] *= 1.5
    _dumped(model, tmp_path / "my")
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    failing = [row.pair.data_id for row in run.rows if row.verdict.status is Status.FAIL]
    assert failing[0] == "blocks.2.down/weight"
    assert {name for name in failing if name.endswith("/weight")} == {"blocks.2.down/weight"}
    assert run.first_divergence
    assert run.first_divergence.pair.data_id == "blocks.2.down/weight"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fingerprint", [False, True])
def test_every_weight_that_differs_is_named_and_follows_nothing(
    model: Model, tmp_path: Path, dtype: torch.dtype, fingerprint: bool
) -> None:
    _dumped(copy.deepcopy(model), tmp_path / "golden", ("weight",), fingerprint=fingerprint)
    wrong = ["blocks.1.up/bias", "blocks.2.down/weight", "blocks.4.up/weight", "blocks.5.up/weight"]
    my = copy.deepcopy(model).to(dtype)
    with torch.no_grad():
        for name in wrong:
            my.get_parameter(name.replace("/", "."))[3] *= 1.25
    _dumped(my, tmp_path / "my", ("weight",), fingerprint=fingerprint)
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    failing = [row for row in run.rows if row.verdict.status is Status.FAIL]
    assert [row.pair.data_id for row in failing] == wrong
    assert not any(row.verdict.follows for row in failing)
    assert all("the weight itself differs" in row.verdict.divergence for row in failing)
    assert f"4 weights differ: {', '.join(wrong)}" in repr(run)


def test_tables_that_another_device_made_are_no_wrong_weights(model: Model, tmp_path: Path) -> None:
    """One unit in the last place of a frequency is a thousand of an angle."""
    turns = torch.arange(2048.0)[:, None] * 10000.0 ** (-torch.arange(0, 1, 1 / 32))
    my = copy.deepcopy(model)
    model.register_buffer("cos", turns.cos())
    my.register_buffer("cos", (turns * (1 + 2.0**-23)).cos())
    _dumped(model, tmp_path / "golden", ("weight",))
    _dumped(my, tmp_path / "my", ("weight",))
    assert compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my").passed


def test_what_is_before_a_wrong_weight_does_not_follow_it(model: Model, tmp_path: Path) -> None:
    types = ("tensor", "grad", "weight", "optimizer")
    _dumped(copy.deepcopy(model), tmp_path / "golden", types)
    with torch.no_grad():
        model.blocks[3].up.weight[3] *= 1.5
    spoil = model.blocks[1].up.register_forward_hook(lambda *found: found[-1] * 1.2)
    _dumped(model, tmp_path / "my", types)
    spoil.remove()
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my", tokens=0)
    told = [row.pair.data_id for row in run.rows if row.verdict.divergence]
    assert told[:2] == ["blocks.3.up/weight", "blocks.1.up/out0"]
    assert not any("state." in name for name in told)


class _Wrong(torch.autograd.Function):
    """Right forward, wrong backward."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[..., ::2] *= 2
        return gradient


def test_a_wrong_gradient_is_found_where_it_begins(model: Model, tmp_path: Path) -> None:
    model.eval()
    wrong: Any = _Wrong.apply
    _dumped(copy.deepcopy(model), tmp_path / "golden", ("tensor", "grad"))
    hook = model.blocks[2].register_forward_hook(lambda *found: wrong(found[-1]))
    _dumped(model, tmp_path / "my", ("tensor", "grad"))
    hook.remove()
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my", tokens=0)
    assert run.first_divergence
    # That of the block's own output is right. In evaluation drop hands on what down gave.
    assert run.first_divergence.pair.data_id == "blocks.2.down/grad.out0"


def test_gradients_are_those_of_autograd(model: Model, tmp_path: Path) -> None:
    """Also of what is changed in place later on: linear layers' outputs here, which are views."""
    model.eval()
    with dump_modules(model, tmp_path, types=("grad",)):
        loss = model(IDS).square().mean()
        loss.backward()
    rows = _rows(compare_dumps(golden_path=tmp_path, my_path=tmp_path, allow_same=True))
    delta = torch.zeros(2, 12, 32, requires_grad=True)
    model.blocks[2].down.register_forward_hook(lambda *found: found[-1] + delta)
    model(IDS).square().mean().backward()
    for name in ("down", "drop"):  # in evaluation the latter hands on what it is given
        shown = rows[0, f"blocks.2.{name}/grad.out0"].comparison.measured.stats.golden
        assert delta.grad is not None
        assert shown.total == pytest.approx(delta.grad.double().sum().item(), rel=1e-3)
        assert shown.maximum == pytest.approx(delta.grad.max().item(), rel=1e-5)
    names = {name.rpartition("/")[0] for _, name in rows if "grad.out" in name}
    assert {f"blocks.{number}.{one}" for number in range(6) for one in ("up", "down")} <= names


def test_each_type_alone(model: Model, tmp_path: Path) -> None:
    kinds = {"grad": ("grad.",), "weight": ("",), "optimizer": ("state.", "set.")}
    for kind, begins in kinds.items():
        for side in ("golden", "my"):
            _dumped(copy.deepcopy(model), tmp_path / kind / side, (kind,))
        run = compare_dumps(golden_path=tmp_path / kind / "golden", my_path=tmp_path / kind / "my")
        assert run.passed
        assert all(row.pair.data_id.rpartition("/")[2].startswith(begins) for row in run.rows)
        assert not any("out0" in row.pair.data_id and kind != "grad" for row in run.rows)


def test_a_graph_that_is_gone_through_twice_gives_both_gradients(
    model: Model, tmp_path: Path
) -> None:
    for side in ("golden", "my"):
        with dump_modules(copied := copy.deepcopy(model), tmp_path / side, types=("grad",)):
            torch.manual_seed(1)
            loss = copied(IDS).sum()
            loss.backward(retain_graph=True)
            loss.backward()
    rows = _rows(compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my"))
    once, twice = (rows[0, f"blocks.0/grad.out0{again}"] for again in ("", "@1"))
    assert once.comparison.measured.stats.golden == twice.comparison.measured.stats.golden
    assert (0, "blocks.0.up/grad.weight@1") in rows


class Checkpointed(torch.nn.Module):
    """Of what is inside nothing is kept for the backward pass, if a way to compute it anew is
    named."""

    def __init__(self, inner: torch.nn.Module, *, reentrant: bool | None) -> None:
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x: torch.Tensor) -> Any:
        if self.reentrant is None:
            return self.inner(x)
        return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("whole", [False, True], ids=["parts", "blocks"])
def test_what_a_checkpoint_computes_anew_is_dumped_once(
    model: Model, tmp_path: Path, reentrant: bool, whole: bool
) -> None:
    """And its gradients under the names that they have where nothing is computed anew."""
    for side, way in (("golden", None), ("my", reentrant)):
        its = copy.deepcopy(model)
        for number, block in enumerate(its.blocks):
            if whole:
                its.blocks[number] = Checkpointed(block, reentrant=way)
            else:
                block.up = Checkpointed(block.up, reentrant=way)
        _dumped(its, tmp_path / side)
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert run.passed, run
    assert not [row for row in run.rows if row.verdict.status is not Status.PASS]
    inside = "blocks.3.inner.up" if whole else "blocks.3.up.inner"
    assert {(1, f"{inside}/out0"), (1, f"{inside}/grad.out0")} <= _rows(run).keys()


def test_which_call_a_reentrant_checkpoint_repeats_is_not_guessed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    block = Checkpointed(torch.nn.Linear(8, 8), reentrant=True)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), block, block)
    with dump_modules(model, tmp_path, types=("grad",)):
        model(torch.ones(2, 8)).sum().backward()
    names = {name for _, name in _rows(compare_dumps(golden_path=tmp_path, my_path=tmp_path))}
    assert {"0/grad.out0", "1/grad.out0", "1.inner/grad.weight"} <= names
    assert not any(name.startswith("1.inner/grad.out") for name in names)


def test_fingerprints_have_them_too(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "golden.fp.safetensors"
    _dumped(copy.deepcopy(model), file, fingerprint=True)
    from ait_cmp.mapping.layouts import list_dump

    (rank,) = list_dump("golden_path", str(file)).ranks
    names = {one.name for one in rank.tensors}
    assert {"blocks.3.up/weight", "blocks.3.up/grad.weight", "scale"} <= names
    assert "blocks.3.up/state.weight.exp_avg" in names


SCRIPT = """
import torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(2):
    optimizer.zero_grad()
    model(torch.ones(3, 4)).square().sum().backward()
    optimizer.step()
"""


def test_the_command_dumps_them_of_an_unmodified_script(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "ait_cmp.ait", "llm", "dump"]
    command += ["--exec", f"{sys.executable} {script}", "--output", str(tmp_path / "golden")]
    command += ["--type", "tensor", "grad", "weight", "optimizer", "--execute-range", "0,1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    shutil.copytree(tmp_path / "golden", tmp_path / "my")
    rows = _rows(compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my"))
    assert (0, "0/weight") in rows
    assert (1, "2/grad.bias") in rows
    assert (1, "0/state.weight.momentum_buffer") in rows


class Small(torch.nn.Module):
    """A matrix and a scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.norm = torch.nn.Linear(16, 24, bias=False), torch.nn.LayerNorm(24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.norm(self.up(x))
        return found


X = torch.linspace(-1, 1, 128).view(8, 16)


def _fit(model: torch.nn.Module, **settings: Any) -> None:
    """Two steps; only the weights of `decays` are pulled to zero."""
    decays = settings.pop("decays", lambda one: one.dim() > 1)
    groups = [
        {"params": [one for one in model.parameters() if decays(one)], "weight_decay": 0.1},
        {"params": [one for one in model.parameters() if not decays(one)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, **{"lr": 1e-3, **settings})
    for _ in range(2):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lr": 2e-3}, "token 0 up/set.weight.lr; my is set to 0.002, golden to 0.001"),
        ({"eps": 1e-6}, "token 0 up/set.weight.eps; my is set to 1e-06, golden to 1e-08"),
        (
            {"decays": lambda _: True},
            "token 0 norm/set.weight.weight_decay; my is set to 0.1, golden to 0",
        ),
    ],
    ids=["lr", "eps", "weight_decay"],
)
def test_what_an_optimizer_is_set_to_is_compared(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    """None of it shows in what the optimizer keeps, and of a small step the weights pass."""
    for side, its in (("golden", {}), ("my", settings)):
        model = Small()
        with dump_modules(model, tmp_path / side, types=("optimizer",), execute_range=[(0, 1)]):
            _fit(model, **its)
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert run.first_divergence
    assert run.first_divergence.verdict.divergence == f"in {told}"
    where = told.split(";")[0]
    same = where.rpartition(".")[2]
    failing = [row for row in run.rows if row.pair.data_id.endswith(f".{same}")]
    assert {row.verdict.follows for row in failing if row.verdict.follows} == {where}
    assert sum(bool(row.verdict.divergence) for row in failing) == 1


def test_an_lr_in_a_tensor_and_what_a_scheduler_keeps_are_no_other_settings(
    tmp_path: Path,
) -> None:
    for side, lr in (("golden", 1e-3), ("my", torch.tensor(1e-3))):
        model = Small()
        with dump_modules(model, tmp_path / side, types=("optimizer",)):
            optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
            if side == "golden":
                torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)  # keeps `initial_lr`
            model(X).square().mean().backward()
            optimizer.step()
    assert compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my").passed


def test_a_gradient_that_was_clipped_shows_where_an_optimizer_keeps_nothing(
    tmp_path: Path,
) -> None:
    for side in ("golden", "my"):
        model = Small()
        with dump_modules(model, tmp_path / side, types=("grad", "optimizer")):
            model(X).square().mean().backward()
            if side == "golden":
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            torch.optim.SGD(model.parameters(), lr=1e-3).step()
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert run.first_divergence
    assert run.first_divergence.pair.data_id == "up/state.weight.grad"


class Wrapper(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> Any:
        return self.module(x)


def test_gradients_are_of_the_round_that_was_called_to_learn(tmp_path: Path) -> None:
    """Whatever else was called: the same model in no wrapper, before and between; and parameters
    that it got later, or that learn later, are known."""
    model = Small()
    wrapped = Wrapper(model)
    model.norm.weight.requires_grad_(False)
    with dump_modules(wrapped, tmp_path, types=("grad", "optimizer"), execute_range=[(0, 9)]):
        with torch.no_grad():
            wrapped(X)
            model(X)
            model(X)
        model.up.bias = torch.nn.Parameter(torch.zeros(24))
        model.norm.weight.requires_grad_(True)
        loss = wrapped(X).square().mean()
        with torch.no_grad():
            model(X)
        loss.backward()
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).step()
    run = compare_dumps(golden_path=tmp_path, my_path=tmp_path, allow_same=True)
    grads = {place for place in _rows(run) if "grad." in place[1]}
    assert {token for token, _ in grads} == {1}
    assert {(1, "up/grad.bias"), (1, "norm/grad.weight")} <= grads
    assert (0, "up/state.bias.momentum_buffer") in _rows(run)


def test_a_gradient_is_seen_before_others_take_it_away(tmp_path: Path) -> None:
    """As where an optimizer steps in the backward pass."""

    def step(parameter: torch.Tensor) -> None:
        with torch.no_grad():
            parameter -= 0.1 * parameter.grad  # type: ignore[operator]
        parameter.grad = None

    model = Small()
    for one in model.parameters():
        one.register_post_accumulate_grad_hook(step)  # type: ignore[no-untyped-call]
    with dump_modules(model, tmp_path, types=("grad",)):
        model(X).square().mean().backward()
    run = compare_dumps(golden_path=tmp_path, my_path=tmp_path, allow_same=True)
    assert (0, "up/grad.weight") in _rows(run)
    assert all(one.grad is None for one in model.parameters())


def test_a_step_of_several_rounds_is_behind_them_all(tmp_path: Path) -> None:
    """Steps are counted apart from rounds; what is wrong in round 1 is wrong in step 0."""
    for side, factor in (("golden", 1.0), ("my", 1.5)):
        model = Small()
        optimizer = torch.optim.Adam(model.parameters())
        kinds = ("tensor", "grad", "optimizer")
        with dump_modules(model, tmp_path / side, types=kinds, execute_range=[(0, 3)]):
            for _ in range(2):
                optimizer.zero_grad()
                for part in (1.0, factor):
                    model(part * X).square().mean().backward()
                optimizer.step()
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert run.first_divergence
    assert run.first_divergence.pair.name == "token 1 in0"
    places = [
        (row.pair.token_id, "state." in row.pair.data_id)
        for row in run.rows
        if "set." not in row.pair.data_id
    ]
    stretches = [one for one, before in zip(places, [None, *places], strict=False) if one != before]
    rounds, steps = [(number, False) for number in range(4)], [(0, True), (1, True)]
    assert stretches == [*rounds[:2], steps[0], *rounds[2:], steps[1]]
    assert [row.pair.order for row in run.rows] == list(range(len(run.rows)))


class Judge(Small):
    """A second model, whose rounds are counted apart."""


def test_models_in_turn_are_compared_in_the_order_of_the_computation(tmp_path: Path) -> None:
    """The second model is called twice for each round of the first."""
    for side, scale in (("golden", 1.0), ("my", 1.2)):
        both = torch.nn.ModuleList([Small(), Judge()])
        with dump_modules(both, tmp_path / side, execute_range=[(0, 9)]):
            for number in range(2):
                made = both[0](X + number)
                both[1](X * (scale if number else 1.0))
                both[1](made[:, :16])
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    rounds = dict.fromkeys(
        (row.pair.data_id.startswith("Judge"), row.pair.token_id) for row in run.rows
    )
    assert [*rounds] == [(False, 0), (True, 0), (True, 1), (False, 1), (True, 2), (True, 3)]
    assert run.first_divergence
    assert run.first_divergence.pair.name == "token 2 Judge/in0"


def test_a_round_that_my_alone_has_is_where_it_was_computed(tmp_path: Path) -> None:
    for side, rounds in (("golden", 2), ("my", 3)):
        both = torch.nn.ModuleList([Small(), Judge()])
        with dump_modules(both, tmp_path / side, execute_range=[(0, 9)]):
            both[0](X)
            for _ in range(rounds):
                both[1](X)
            both[0](X)
    run = compare_dumps(
        golden_path=tmp_path / "golden", my_path=tmp_path / "my", rounds="off", unpaired="ignore"
    )
    rounds_of = dict.fromkeys(
        (row.pair.data_id.startswith("Judge"), row.pair.token_id) for row in run.rows
    )
    assert [*rounds_of] == [(False, 0), (True, 0), (True, 1), (True, 2), (False, 1)]
