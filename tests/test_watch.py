"""Models compared while they run."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.overrides import TorchFunctionMode

import ait_cmp
from ait_cmp import Reason, UsageError, compare_dumps, dump_modules, watch
from ait_cmp.judging import Status


class Block(torch.nn.Module):
    """A residual block, which changes a tensor in place and drops some elements."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm: Any = torch.nn.LayerNorm(width)
        self.up, self.down = torch.nn.Linear(width, 2 * width), torch.nn.Linear(2 * width, width)
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.down(torch.relu_(self.up(self.norm(x))))
        dropped: torch.Tensor = self.drop(inner)
        return dropped.add_(x)


class Model(torch.nn.Module):
    """Blocks that keep what they saw in a cache of the caller's, or in one of their own."""

    def __init__(self, width: int = 32, blocks: int = 8) -> None:
        super().__init__()
        self.blocks: Any = torch.nn.ModuleList([Block(width) for _ in range(blocks)])
        self.head = torch.nn.Linear(width, 5)

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> dict[str, Any]:
        cache = cache or Cache()
        for block in self.blocks:
            x = block(x)
        cache.seen.append(x.mean(0))
        return {"logits": self.head(x + sum(cache.seen)), "cache": cache}


class Cache:
    """What a model remembers of earlier calls."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []


@pytest.fixture
def models() -> Iterator[tuple[Model, Model]]:
    """Golden and my, of the same weights."""
    torch.manual_seed(0)
    golden = Model().eval()
    yield golden, copy.deepcopy(golden)
    for model in (golden, my := golden):
        assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules()), my


X = torch.randn(6, 32, generator=torch.Generator().manual_seed(1))


def _steps(model: Model, steps: int = 3) -> list[torch.Tensor]:
    """Calls with a cache that comes back from the first."""
    out, cache = [], None
    for number in range(steps):
        found = model(X + number, cache=cache)
        cache = found["cache"]
        out.append(found["logits"])
    return out


def test_equal_models_are_equal_in_every_row(models: tuple[Model, Model]) -> None:
    golden, my = models
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        _steps(my)
    result = watched.result
    assert result.passed
    assert len(result.rows) == 3 * (8 * 5 + 2)
    assert {row.comparison.metrics["max_absolute_error"] for row in result.rows} == {0.0}
    names = [row.pair.data_id for row in result.rows[:6]]
    assert names == [*(f"blocks.0.{name}/out0" for name in ("norm", "up", "down", "drop")),
                     "blocks.0/out0", "blocks.1.norm/out0"]  # fmt: skip
    assert {row.pair.token_id for row in result.rows} == {0, 1, 2}


@pytest.mark.parametrize("trains", [False, True])
def test_watching_changes_nothing_of_my(models: tuple[Model, Model], trains: bool) -> None:
    golden, my = (model.train(trains) for model in models)

    def run() -> list[torch.Tensor]:
        torch.manual_seed(7)
        my.zero_grad()
        outputs = _steps(my)
        sum(one.square().sum() for one in outputs).backward()  # type: ignore[union-attr]
        drawn = torch.rand(3)  # as many numbers were drawn
        return [
            *outputs,
            *(one.grad.clone() for one in my.parameters() if one.grad is not None),
            drawn,
        ]

    before = run()
    with watch(my=my, golden=golden) as watched:
        inside = run()
    after = run()
    assert watched.result.passed  # the same elements were dropped
    for one, two, three in zip(before, inside, after, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
    assert all(one.grad is None for one in golden.parameters())


def _spoil(model: Model) -> None:
    with torch.no_grad():
        model.blocks[3].up.weight[5] *= 3


def test_the_first_divergence_is_told_while_the_model_runs(
    models: tuple[Model, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    golden, my = models
    _spoil(my)
    told: list[str] = []
    my.blocks[4].register_forward_hook(lambda *_: told.append(capsys.readouterr().err))
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(X)
    my.blocks[4]._forward_hooks.clear()
    assert told[0].startswith("ait_cmp: it goes wrong from token 0 blocks.3.up/out0 on")
    assert watched.first_divergence
    assert watched.first_divergence.pair.data_id == "blocks.3.up/out0"
    assert watched.result.first_divergence
    assert watched.result.first_divergence.pair == watched.first_divergence.pair
    assert watched.first_divergence.comparison.diagnosis
    assert not watched.stopped


def test_the_model_stops_at_the_first_divergence(models: tuple[Model, Model]) -> None:
    golden, my = models
    _spoil(my)
    reached: list[str] = []
    with watch(my=my, golden=golden, stop_at="first") as watched, torch.no_grad():
        my(X)
        reached.append("the end")
    assert watched.stopped
    assert not reached
    last = watched.result.rows[-1]
    assert last.pair.data_id == "blocks.3.up/out0"
    assert last.verdict.status is Status.FAIL
    with torch.no_grad():
        my(X)  # as before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_verdicts_are_those_of_dumps(
    models: tuple[Model, Model], dtype: torch.dtype, tmp_path: Path
) -> None:
    golden, my = models
    _spoil(my)
    my.to(dtype)
    x = X.to(dtype)
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(x)
    for name, model, given in (("golden", golden, x.float()), ("my", my, x)):
        with dump_modules(model, tmp_path / name, save_tensor_part=1), torch.no_grad():
            model(given)
    dumped = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    live = watched.result
    assert [_told(row) for row in live.rows] == [_told(row) for row in dumped.rows]
    assert live.first_divergence
    assert live.first_divergence.pair.data_id == "blocks.3.up/out0"


def _told(row: Any) -> tuple[Any, ...]:
    verdict = row.verdict
    metrics = {name: one and round(one, 9) for name, one in row.comparison.metrics.items()}
    return row.pair.data_id, verdict.status, verdict.follows, verdict.expected, metrics


def test_what_one_side_alone_has_is_told(models: tuple[Model, Model]) -> None:
    golden, my = models
    my.blocks[2].drop = torch.nn.Identity()
    my.blocks[2].more = torch.nn.Identity()
    my.blocks[2].register_forward_hook(lambda block, _, out: block.more(out))
    del golden.blocks[7]
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(X)
    my.blocks[2]._forward_hooks.clear()
    lost = {row.pair.data_id: row.verdict.reason for row in watched.result.rows if
            row.verdict.status is Status.ERROR}  # fmt: skip
    inside = ("norm", "up", "down", "drop")
    assert lost == {f"blocks.7.{one}/out0": Reason.GOLDEN_MISSING for one in inside} | {
        "blocks.7/out0": Reason.GOLDEN_MISSING,
        "blocks.2.more/out0": Reason.GOLDEN_MISSING,
    }


def test_unpaired_may_be_skipped(models: tuple[Model, Model]) -> None:
    golden, my = models
    golden.blocks.append(Block(32).eval())
    golden.blocks[8].down.weight.data.zero_()
    golden.blocks[8].down.bias.data.zero_()
    with watch(my=my, golden=golden, unpaired="ignore") as watched, torch.no_grad():
        my(X)
    skipped = [row for row in watched.result.rows if row.verdict.status is Status.SKIPPED]
    assert {row.verdict.reason for row in skipped} == {Reason.UNPAIRED}
    assert len(skipped) == 5
    assert watched.result.passed


def test_a_part_that_the_script_calls_by_itself(models: tuple[Model, Model]) -> None:
    golden, my = models
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my.blocks[1](my.blocks[0](X))
        my.blocks[1](X)
    found = [(row.pair.data_id, row.pair.token_id) for row in watched.result.rows]
    assert found[4] == ("blocks.0/out0", 0)
    assert found[-1] == ("blocks.1/out0", 1)
    assert watched.result.passed


def test_a_golden_that_fails_gives_rows_that_say_so(models: tuple[Model, Model]) -> None:
    golden, my = models

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("no luck")

    golden.blocks[1].up.register_forward_pre_hook(fail)
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(X)
        my(X)
    golden.blocks[1].up._forward_pre_hooks.clear()
    rows = watched.result.rows
    assert {row.verdict.status for row in rows[:6]} == {Status.PASS}
    assert "ZeroDivisionError: no luck" in rows[6].verdict.sentence
    assert rows[-1].verdict.reason is Reason.GOLDEN_MISSING
    assert not watched.result.passed


def test_an_error_of_my_goes_to_the_script(models: tuple[Model, Model]) -> None:
    golden, my = models
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        with pytest.raises(RuntimeError):
            my(torch.zeros(2, 3))
        my(X)
    tokens = [row.pair.token_id for row in watched.result.rows]
    assert tokens.count(1) == 8 * 5 + 2


def test_what_my_did_not_come_to_is_missing(models: tuple[Model, Model]) -> None:
    golden, my = models

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("no luck")

    my.blocks[7].down.register_forward_pre_hook(fail)
    watching = watch(my=my, golden=golden, unpaired="ignore")
    with pytest.raises(ZeroDivisionError), watching as watched:
        my(X)
    my.blocks[7].down._forward_pre_hooks.clear()
    lost = [row.pair.data_id for row in watched.result.rows if row.verdict.reason]
    assert lost[:2] == ["blocks.7.down/out0", "blocks.7.drop/out0"]
    assert {row.verdict.reason for row in watched.result.rows} == {None, Reason.MY_MISSING}
    assert (
        "since my ended with ZeroDivisionError: no luck" in watched.result.rows[-1].verdict.sentence
    )
    assert not watched.result.passed


def test_a_cache_that_the_script_changes_is_no_fault(models: tuple[Model, Model]) -> None:
    golden, my = models
    cache = Cache()
    with watch(my=my, golden=golden) as watched:
        my(X, cache=cache)
        my(X, cache=cache)
        cache.seen[0] = cache.seen[0] * 2  # as beams are sorted
        my(X, cache=cache)
        my(X, cache=cache)
    statuses = {row.pair.token_id: row.verdict.status for row in watched.result.rows}
    assert statuses == {0: Status.PASS, 1: Status.PASS, 2: Status.ERROR, 3: Status.ERROR}
    assert "changed a Cache between two calls" in (watched.result.rows[-1].verdict.sentence or "")


class Layer:
    """A part of a cache, which knows the whole."""

    def __init__(self, cache: Cache) -> None:
        self.cache, self.zero = cache, torch.zeros(32)


def test_a_cache_may_hold_what_holds_it(models: tuple[Model, Model]) -> None:
    golden, my = models
    golden.double()
    cache: Any = Cache()
    cache.layers = [Layer(cache) for _ in range(40)]
    cache.seen += [layer.zero for layer in cache.layers]
    with watch(my=my, golden=golden) as watched:
        for number in range(3):
            my(X + number, cache=cache)
    assert {row.verdict.status for row in watched.result.rows} == {Status.PASS}
    assert {row.pair.token_id for row in watched.result.rows} == {0, 1, 2}


def test_a_compiled_model_runs_as_it_did(
    models: tuple[Model, Model], caplog: pytest.LogCaptureFixture
) -> None:
    golden, my = models
    expected, compiled = my(X)["logits"], cast(Any, torch.compile(my, backend="eager"))
    with caplog.at_level("WARNING"), watch(my=compiled, golden=golden) as watched:
        assert torch.equal(compiled(X)["logits"], expected)
    assert not watched.result.passed  # of what is compiled nothing was seen
    passing = [one.pair.data_id for one in watched.result.rows if one.verdict.status == "pass"]
    assert passing == ["out.logits"]
    assert [one.message for one in caplog.records] == [
        "ait_cmp: what runs inside torch.compile is not seen, only what goes in and out"
    ]


def test_a_thread_of_the_script_is_stopped_and_then_the_script(
    models: tuple[Model, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    golden, my = models
    _spoil(my)
    reached: list[str] = []

    def run() -> None:
        my(X)
        reached.append("the end of the thread")

    with watch(my=my, golden=golden, stop_at="first") as watched:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        reached.append("the next call")
        my(X)
        reached.append("the end")
    assert watched.stopped
    assert reached == ["the next call"]
    assert capsys.readouterr().err.count("\n") == 1  # no traceback


def test_shapes_that_differ_are_error_rows(models: tuple[Model, Model]) -> None:
    golden, my = models
    my.head = torch.nn.Linear(32, 6)
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(X)
    last = {row.pair.data_id: row.verdict.reason for row in watched.result.rows[-2:]}
    assert last["head/out0"] is Reason.SHAPE_MISMATCH


def test_a_result_is_kept_and_judged_again(models: tuple[Model, Model], tmp_path: Path) -> None:
    golden, my = models
    _spoil(my)
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(X)
    watched.result.save(tmp_path)
    again = ait_cmp.load(tmp_path)
    assert [row.verdict.status for row in again.rows] == [
        row.verdict.status for row in watched.result.rows
    ]
    assert again.first_divergence
    assert again.first_divergence.pair.data_id == "blocks.3.up/out0"


@pytest.mark.parametrize("name", ["golden", "golden.fp.safetensors"])
def test_golden_may_be_a_dump(models: tuple[Model, Model], name: str, tmp_path: Path) -> None:
    golden, my = models
    path = tmp_path / name
    with dump_modules(golden, path, fingerprint="." in name, execute_range=[(0, 1)]):
        _steps(golden, 2)
    with watch(my=my, golden=path) as watched:
        _steps(my)  # of the third call nothing is known
    assert watched.result.passed
    assert len(watched.result.rows) == 2 * (8 * 5 + 2)
    _spoil(my)
    with watch(my=my, golden=path, stop_at="first") as watched:
        _steps(my)
    assert watched.stopped
    assert watched.first_divergence
    assert watched.first_divergence.pair.data_id == "blocks.3.up/out0"


def test_what_a_dump_alone_has_is_told(models: tuple[Model, Model], tmp_path: Path) -> None:
    golden, my = models
    with dump_modules(golden, tmp_path):
        golden(X)
    my.blocks[7].drop = torch.nn.Identity()
    del my.blocks[6]
    with watch(my=my, golden=tmp_path) as watched:
        my(X)
    lost = {row.pair.data_id for row in watched.result.rows if
            row.verdict.reason is Reason.MY_MISSING}  # fmt: skip
    assert lost == {f"blocks.7{one}/out0" for one in ("", ".norm", ".up", ".down", ".drop")}


def test_what_makes_no_sense_is_refused(models: tuple[Model, Model]) -> None:
    golden, my = models
    with pytest.raises(UsageError, match="modules in common"), watch(my=my, golden=my):
        pass
    with pytest.raises(UsageError, match="stop_at"), watch(my=my, golden=golden, stop_at="x"):
        pass
    with pytest.raises(TypeError, match="my must be"), watch(my=X, golden=golden):  # type: ignore[arg-type]
        pass
    with pytest.raises(UsageError), watch(my=my, golden="nowhere"):
        pass


def test_a_forward_that_the_script_calls_is_named_by_its_module(
    models: tuple[Model, Model],
) -> None:
    golden, my = models
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my.forward(X)
        my(X)
        my.forward(X)
    rows = watched.result.rows
    assert {row.pair.data_id.partition(".")[0] for row in rows} == {"blocks", "head/out0", "out"}
    assert [row.pair.token_id for row in rows if row.pair.data_id == "head/out0"] == [0, 1, 2]
    tokens = {row.verdict.status: row.pair.token_id for row in rows if row.pair.token_id != 2}
    assert tokens == {Status.ERROR: 0, Status.PASS: 1}
    assert "the script calls Model.forward, which tells no arguments" in rows[0].verdict.sentence


def test_hooks_of_all_modules_hear_of_my_alone(models: tuple[Model, Model]) -> None:
    golden, my = models
    heard: list[torch.nn.Module] = []
    hooks = torch.nn.modules.module
    before: Any = lambda module, _: heard.append(module)  # noqa: E731
    after: Any = lambda module, *_: heard.append(module)  # noqa: E731
    handles = [
        hooks.register_module_forward_pre_hook(before),
        hooks.register_module_forward_hook(after),
    ]
    try:
        with watch(my=my, golden=golden) as watched, torch.no_grad():
            _steps(my, 2)
        assert [*hooks._global_forward_hooks.values()][-1] is after
        assert [*hooks._global_forward_pre_hooks.values()][-1] is before
    finally:
        for handle in handles:
            handle.remove()
    modules = {id(module) for module in my.modules()}
    assert heard
    assert all(id(module) in modules for module in heard)
    assert watched.result.passed


@pytest.mark.parametrize("both", [False, True])
def test_train_and_eval_of_my_are_done_to_golden(models: tuple[Model, Model], both: bool) -> None:
    golden, my = models
    my.blocks[1].drop.train()  # as the script will have it: only my drops here
    golden.blocks[2].drop = torch.nn.Sequential(golden.blocks[2].drop).eval()
    with watch(my=my, golden=golden, unpaired="ignore") as watched:
        my(X)
        my.train()
        if both:
            golden.train()
        my(X)
        others = [name for name, one in golden.named_modules() if not one.training]
        assert others == ([] if both else ["blocks.1.drop"])  # as unlike as before
        my.eval()
        my(X)
        my.blocks[1].drop.train()
        my(X)
    statuses = [
        {row.verdict.status for row in watched.result.rows if row.pair.token_id == call}
        for call in range(4)
    ]
    good = {Status.PASS, Status.SKIPPED}
    assert Status.FAIL in statuses[1] if not both else statuses[1] <= good
    assert statuses[2] <= good
    assert Status.FAIL in statuses[0] & statuses[3]
    assert not any(one.training for one in golden.modules())


def test_what_the_script_did_to_golden_stays(models: tuple[Model, Model]) -> None:
    golden, my = models
    with watch(my=my, golden=golden) as watched:
        my.train(), golden.train()
        my(X)
    assert watched.result.passed
    assert all(one.training for one in golden.modules())


SCALE: ContextVar[float] = ContextVar("SCALE", default=1.0)


class Scaled(torch.nn.Module):
    """Computes as the script says by a context variable, on the device where it makes tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.inner(x * SCALE.get())
        return y + torch.ones(32) if torch.ones(()).device.type != "meta" else y


def test_golden_is_called_in_the_context_of_the_script() -> None:
    golden = Scaled()
    my = copy.deepcopy(golden)
    with watch(my=my, golden=golden) as watched:
        token = SCALE.set(3.0)
        scaled = my(X)
        with torch.device("meta"):
            assert torch.equal(my(X) + 1, scaled)
        SCALE.reset(token)
        my(X)
    assert watched.result.passed
    assert torch.ones(()).device.type == "cpu"


def test_a_mode_of_the_script_hears_of_my_alone() -> None:
    golden = Scaled()
    my = copy.deepcopy(golden)
    heard: list[Any] = []

    class Hears(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.nn.functional.linear:
                heard.append(func)
            return func(*args, **(kwargs or {}))

    with Hears(), watch(my=my, golden=golden) as watched:
        my(X)
    assert len(heard) == 1
    assert watched.result.passed


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kept", [False, True], ids=["model", "dump"])
def test_what_a_checkpoint_computes_anew_is_no_call(
    models: tuple[Model, Model], reentrant: bool, kept: bool, tmp_path: Path
) -> None:
    """Only as much as backward needs runs again, so outputs of it would be missing."""
    golden, my = models
    for block in my.blocks:
        forward = block.forward
        vars(block)["forward"] = lambda x, forward=forward: torch.utils.checkpoint.checkpoint(
            forward, x, use_reentrant=reentrant
        )

    def learn() -> list[torch.Tensor]:
        my.zero_grad()
        for number in range(2):
            my((X + number).requires_grad_())["logits"].square().sum().backward()
        return [one.grad.clone() for one in my.parameters() if one.grad is not None]

    before, path = learn(), tmp_path / "golden"
    if kept:
        with dump_modules(golden, path, execute_range=[(0, 1)], save_tensor_part=1):
            golden(X), golden(X + 1)
    with watch(my=my, golden=path if kept else golden) as watched:
        inside = learn()
    assert all(torch.equal(*both) for both in zip(before, inside, strict=True))
    assert watched.result.passed, watched.result
    assert len(watched.result.rows) == 2 * (8 * 5 + 2)


def test_a_script_that_catches_everything_is_stopped_again(models: tuple[Model, Model]) -> None:
    golden, my = models
    _spoil(my)
    ended = 0
    with watch(my=my, golden=golden, stop_at="first") as watched, torch.no_grad():
        for _ in range(3):
            with suppress(BaseException):
                my(X)
                ended += 1
    assert ended == 0
    assert watched.stopped
    assert watched.result.rows[-1].pair.data_id == "blocks.3.up/out0"


def test_a_call_that_goes_on_in_a_thread_is_not_taken_over(models: tuple[Model, Model]) -> None:
    """Golden has ended with its last output, and my has not: what it has yet to give is its own."""
    golden, my = models
    inside, other = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            assert other.wait(60)

    handle = my.head.register_forward_hook(wait)
    with watch(my=my, golden=golden) as watched:
        thread = threading.Thread(target=my, args=(X,))
        thread.start()
        assert inside.wait(60)
        my(X)
        other.set()
        thread.join()
        my(X)
    handle.remove()
    assert watched.result.passed, watched.result
    assert len(watched.result.rows) == 2 * (8 * 5 + 2)


class Gate(torch.nn.Module):
    """Sends each token to the expert of the largest score, of eight that come in pairs alike."""

    def __init__(self, width: int, apart: float) -> None:
        super().__init__()
        weight = torch.randn(width, 8)
        weight[:, 1::2] = weight[:, ::2] + apart * torch.randn(width, 4)
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = x.flatten(0, 1) @ self.weight
        return scores, scores.topk(1).indices


class Routed(torch.nn.Module):
    """Two layers of experts, behind an embedding of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(64, 32)
        self.gate: Any = torch.nn.ModuleList([Gate(32, 1e-2) for _ in range(2)])
        self.experts = torch.nn.ParameterList([torch.randn(8, 32) for _ in range(2)])
        self.out: Any = torch.nn.ModuleList([torch.nn.Linear(32, 32) for _ in range(2)])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.embed(input_ids)
        for gate, experts, out in zip(self.gate, self.experts, self.out, strict=True):
            x = out(x + experts[gate(x)[1]].view(x.shape))
        return x


@pytest.fixture
def routed() -> tuple[Routed, Routed, torch.Tensor]:
    """A model, the same in bfloat16, and tokens of which some are sent elsewhere."""
    torch.manual_seed(4)
    golden = Routed().eval()
    return golden, copy.deepcopy(golden).bfloat16(), torch.randint(0, 64, (2, 12))


def test_near_ties_are_told_as_of_dumps(
    routed: tuple[Routed, Routed, torch.Tensor], tmp_path: Path
) -> None:
    golden, my, ids = routed
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        for _ in range(2):  # what was chosen in one call moves nothing in the next
            my(ids)
    live = {row.pair.name: row for row in watched.result.rows}
    ties = [name for name, row in live.items() if row.verdict.reason is Reason.NEAR_TIE]
    assert ties == [f"token {call} gate.{layer}/out1" for call in (0, 1) for layer in (0, 1)]
    assert "which went to other experts" in live["token 1 out.1/out0"].pair.paired_by
    for name, model in (("golden", golden), ("my", my)):
        with dump_modules(model, tmp_path / name), torch.no_grad():
            model(ids)
    dumped = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    told = [row.verdict for row in dumped.rows if row.pair.name == ties[0]]
    assert [one.flip.margin for one in told] == [live[ties[0]].verdict.flip.margin]
    assert watched.result.passed
    assert watched.first_divergence is None


def test_a_fault_behind_a_near_tie_is_found(
    routed: tuple[Routed, Routed, torch.Tensor],
) -> None:
    golden, my, ids = routed
    my.out[1].weight.data[3] *= 2
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(ids)
    failing = [row.pair.data_id for row in watched.result.rows if row.verdict.status == "fail"]
    assert failing == ["out.1/out0", "out0"]


def test_ids_that_the_scores_do_not_say_are_a_fault(
    routed: tuple[Routed, Routed, torch.Tensor],
) -> None:
    golden, my, ids = routed
    my.gate[1].register_forward_hook(lambda _, args, out: (out[0], out[1] ^ 2))
    with watch(my=my, golden=golden) as watched, torch.no_grad():
        my(ids)
    assert watched.first_divergence
    assert watched.first_divergence.pair.data_id == "gate.1/out1"
    assert "is not the largest of my's" in watched.first_divergence.verdict.sentence


@pytest.mark.parametrize(
    ("tokens", "told"),
    [(400, (Status.PASS, Reason.NEAR_TIE)), (4000, (Status.SKIPPED, Reason.UNJUDGED))],
)
def test_of_fingerprints_a_flip_is_told_where_its_scores_are_kept_and_else_no_pass(
    tokens: int,
    told: tuple[Status, Reason],
    routed: tuple[Routed, Routed, torch.Tensor],
    tmp_path: Path,
) -> None:
    golden, my, _ = routed
    ids = torch.randint(0, 64, (2, tokens))
    for name, model in (("golden", golden), ("my", my)):
        with dump_modules(model, tmp_path / name, fingerprint=True), torch.no_grad():
            model(ids)
    found = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    row = next(row for row in found.rows if row.pair.data_id == "gate.0/out1")
    assert (row.verdict.status, row.verdict.reason) == told
    assert "gate.0/out0" in row.verdict.sentence


class Cell(torch.nn.Module):
    """Leaves what it saw in a dict of its own."""

    def __init__(self, leaves: float = 1.0) -> None:
        super().__init__()
        self.value, self.leaves = torch.nn.Linear(32, 32), leaves

    def forward(self, x: torch.Tensor, own: dict[str, Any]) -> torch.Tensor:
        new = self.value(x)
        seen = torch.cat([own["seen"], new], 1) if "seen" in own else new
        own["seen"] = seen * self.leaves
        return x + seen.mean(1, keepdim=True)


class Cells(torch.nn.Module):
    """Fills a dict of the script's."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = torch.nn.ModuleList([Cell() for _ in range(3)])

    def forward(self, x: torch.Tensor, cache: Any) -> torch.Tensor:
        for number, cell in enumerate(self.cells):
            if isinstance(cache, list) and number == len(cache):
                cache.append({})
            own = cache[number] if isinstance(cache, list) else cache.setdefault(number, {})
            x = cell(x, own)
        return x


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("apart", [False, True], ids=["whole", "cells"])
def test_golden_reads_its_own_of_a_plain_container(
    kind: type, inference: bool, wrong: bool, apart: bool
) -> None:
    torch.manual_seed(0)
    golden = Cells().eval()
    my = copy.deepcopy(golden)
    if wrong:
        cast(Any, my.cells[1]).leaves = 1.5
    cache: Any = kind()
    with watch(my=my, golden=golden) as watched, torch.inference_mode(inference):
        my(torch.randn(2, 3, 32), cache)
        for _ in range(3):
            x = torch.randn(2, 3, 32)
            if apart:
                for number, cell in enumerate(my.cells):
                    x = cell(x, cache[number])
            else:
                my(x, cache)
    assert watched.result.passed is not wrong
    if wrong:
        assert watched.first_divergence
        assert watched.first_divergence.pair.data_id == "cells.1/out0"


def test_a_change_of_a_plain_cache_by_the_script_is_told() -> None:
    golden = Cells().eval()
    my = copy.deepcopy(golden)
    cache: dict[int, Any] = {}
    with watch(my=my, golden=golden) as watched:
        my(torch.randn(2, 3, 32), cache)
        cache[1]["seen"] = cache[1]["seen"] * 2
        my(torch.randn(2, 3, 32), cache)
    statuses = {row.pair.token_id: row.verdict.status for row in watched.result.rows}
    assert statuses == {0: Status.PASS, 1: Status.ERROR}
    assert "changed a dict between two calls" in (watched.result.rows[-1].verdict.sentence or "")


class Batch(torch.nn.Module):
    """Reads what is in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(32, 5)

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        found: torch.Tensor = self.head(batch["x"][0]) * batch["times"]
        return found


def test_a_container_that_the_script_fills_is_an_argument() -> None:
    """The same one anew, or new ones that may get the id of an old one."""
    golden = Batch()
    my = copy.deepcopy(golden)
    batch: dict[str, Any] = {}
    with watch(my=my, golden=golden) as watched:
        for number in range(6):
            batch.clear()
            batch.update(x=[torch.randn(4, 32)], times=number + 1)
            my(batch)
            my({"x": [torch.randn(4, 32)], "times": number + 2})
    assert watched.result.passed
    assert len(watched.result.rows) == 6 * 2 * 2
