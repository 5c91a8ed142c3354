"""A golden module run on what one of my's modules was given, its children answered by my's.

What a container computes itself is all that is left of it once each module inside gives what my's
gave: what it hands to these, and what it makes of what they hand back. Golden's weights are cast
for the call, one module at a time, and random state and buffers are put back behind it. Golden is
in training, or not, as it is: what my's does in another mode is my's own.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ait_cmp.dump.identity import inputs_of, outputs_of
from ait_cmp.isolating.choosing import Choosing
from ait_cmp.isolating.grids import Grid
from ait_cmp.isolating.leaving import by_name, leave
from ait_cmp.isolating.own_state import Absent, as_held, attributes_of, leaves
from ait_cmp.isolating.recording import (
    FLOATING,
    Call,
    Drawn,
    ModuleName,
    Saved,
    layer_by_layer,
    moved,
)
from ait_cmp.isolating.structure import Held, Inside, Mapper, mapped, places

__all__ = ["Casting", "NotReplayedError", "Replayed", "replay"]

# Arguments that have a place, and may have a name.
_IN_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class NotReplayedError(Exception):
    """A call cannot be made again; the message says why."""


@dataclass(frozen=True, slots=True)
class Casting:
    """Which types the tensors of a call have: all floating ones `dtype`, or, where that is None,
    those of my's: arguments as they are, weights as my's of the same name, or `usual`.

    `cast` has weights that were cast already, by their ids, and `named` gives golden's modules.
    `grid` tells how my's keeps the weights of one of them, where these are to be of it.
    """

    dtype: torch.dtype | None
    device: torch.device
    usual: torch.dtype | None = None
    cast: dict[int, torch.Tensor] = field(default_factory=dict)
    named: Callable[[ModuleName], torch.nn.Module | None] = lambda name: None
    grid: Callable[[torch.nn.Module], Grid | None] = lambda module: None

    def argument(self, held: Held) -> torch.Tensor:
        """What was held of an argument, in a tensor of its own, on golden's device."""
        here = "cpu" if held.device == "cpu" else self.device
        tensor = held.tensor.to(here, copy=True)
        if self.dtype and tensor.dtype in FLOATING:
            tensor = tensor.to(self.dtype)
        return tensor

    def kind(self, kind: Any) -> Any:
        """A dtype or device among the arguments, or a module, or a method of one. Raises
        NotReplayedError for a module that golden has not."""
        if isinstance(kind, Inside):
            module = self.named((kind.key, kind.shell))
            if module is None:
                raise NotReplayedError(f"it was given {kind.key}, which golden has no module of")
            return getattr(module, kind.method) if kind.method else module
        if isinstance(kind, torch.device):
            return kind if kind.type == "cpu" else self.device
        return self.dtype if self.dtype and kind in FLOATING else kind

    def weight(self, tensor: torch.Tensor, of_my: torch.dtype | None) -> torch.Tensor:
        """A weight or buffer of golden, whose counterpart in my is `of_my`, if it has one."""
        wanted = self.dtype or (of_my if of_my in FLOATING else None) or self.usual
        castable = tensor.dtype in FLOATING and wanted is not None
        made = tensor.detach().to(wanted if castable else tensor.dtype, copy=True)
        is_weight = isinstance(tensor, torch.nn.Parameter)
        return torch.nn.Parameter(made, requires_grad=False) if is_weight else made


@dataclass(frozen=True, slots=True)
class Answer:
    """A golden module that is not run: my's calls of its partner, which answer in its place."""

    module: torch.nn.Module
    calls: list[Call] = field(default_factory=list)


@dataclass(slots=True)
class Replayed:
    """What golden's module gave back, what it handed to each module inside, by the number of its
    call, the arguments that it changed, by the path to each, what is its `own` after it, buffers
    and attributes, and which of these it `moved`."""

    outputs: dict[str, Held] = field(default_factory=dict)
    given: dict[int, dict[str, Held]] = field(default_factory=dict)
    changed: dict[str, Held] = field(default_factory=dict)
    own: dict[str, Held] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)


OwnTypes = Callable[[torch.nn.Module], Mapping[str, torch.dtype]]


def replay(
    call: Call,
    arguments: Any,
    module: torch.nn.Module,
    inside: Iterable[tuple[Call, torch.nn.Module]],
    casting: Casting,
    types: OwnTypes,
    state: Mapping[str, Any],
    choosing: Choosing | None = None,
) -> Replayed:
    """Run golden's `module` with `arguments` and the `state` that my's was in, as `call` ran my's;
    each call `inside` answers in the place of a golden module, and what it chooses is in the hands
    of `choosing`. Raises NotReplayedError."""
    answers = _answers_of(inside)
    if any(one.module is module for one in answers):
        raise NotReplayedError("it calls itself")
    found, saved = Replayed(), Saved()
    runs = [module]
    args, kwargs = _given(arguments, module, casting, runs)
    with (
        _as_it_was(call.drawn, keep_autocast=casting.dtype is None),
        _cast(runs, [one.module for one in answers], casting, types),
        _hooked_once([one.module for one in answers]),
        _answered(answers, casting, found, saved),
    ):
        _put_in_state(module, state, casting)
        before = leaves(saved.own(module))
        with choosing or contextlib.nullcontext():
            output = _output(module, args, kwargs)
        after = leaves(saved.own(module))
        found.own = {name: as_held(one) for name, one in after.items()}
        found.moved = {name for name, _ in moved(before.items(), after.items())}
    found.outputs = {name: saved.held(tensor) for name, tensor in outputs_of(output)}
    if call.changed:
        left = dict(places(saved.of((args, kwargs))))
        found.changed = {name: left[name] for name, _ in call.changed if name in left}
    return found


def _given(
    arguments: Any, module: torch.nn.Module, casting: Casting, runs: list[torch.nn.Module]
) -> Any:
    """What golden's module is given; `runs` are then also the modules among it."""
    grid = casting.grid(module)

    def tensor(held: Held) -> torch.Tensor:
        made = casting.argument(held)
        return grid.given(made) if grid else made

    def kind(value: Any) -> Any:
        made = casting.kind(value)
        owner = getattr(made, "__self__", made)
        runs.extend([owner] if isinstance(owner, torch.nn.Module) else [])
        return made

    return mapped(arguments, tensor, kinds=kind)


def _output(module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
    """What `module` gives back. Raises NotReplayedError for all that it raises."""
    try:
        return module(*args, **kwargs)
    except NotReplayedError:
        raise
    except Exception as exc:
        said = str(exc).splitlines()[0][:200] if str(exc) else "no message"
        raise NotReplayedError(f"{type(exc).__name__}: {said}") from exc


def _answers_of(inside: Iterable[tuple[Call, torch.nn.Module]]) -> list[Answer]:
    answers: dict[int, Answer] = {}
    for call, module in inside:
        answers.setdefault(id(module), Answer(module)).calls.append(call)
    return [*answers.values()]


@contextlib.contextmanager
def _as_it_was(drawn: Drawn | None, *, keep_autocast: bool) -> Iterator[None]:
    """Torch's state as a call found it, and no gradients."""
    with torch.random.fork_rng(), layer_by_layer(), contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        # What answers in the place of a module is no part of a graph. Nothing that is not imported
        # has compiled anything.
        if "torch._dynamo.eval_frame" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if drawn:
            torch.set_rng_state(drawn.random)
            if drawn.cuda and torch.cuda.is_available():
                torch.cuda.set_rng_state_all([*drawn.cuda][: torch.cuda.device_count()])
        for kind in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
            dtype = drawn.autocast.get(kind) if drawn and keep_autocast else None
            stack.enter_context(torch.autocast(kind, dtype=dtype, enabled=dtype is not None))
        yield


@contextlib.contextmanager
def _cast(
    runs: Sequence[torch.nn.Module],
    answered: Sequence[torch.nn.Module],
    casting: Casting,
    types: OwnTypes,
) -> Iterator[None]:
    """The weights and buffers of modules cast, but for those of modules that are not run."""
    apart = {id(inner) for one in answered for inner in one.modules()}
    buffers: dict[int, torch.Tensor] = {}  # which the call may change
    before: list[tuple[dict[str, Any], str, torch.Tensor | None]] = []
    # What a hook makes of weights, as that of a weight norm, is an attribute, too.
    as_they_were: list[tuple[dict[str, Any], dict[str, Any]]] = []
    copies = Mapper(torch.clone, None)
    try:
        for one in (each for module in runs for each in module.modules()):
            if id(one) in apart:
                continue
            apart.add(id(one))
            as_they_were.append((vars(one), dict(vars(one))))
            vars(one).update(copies.of(attributes_of(one)))  # which the call may change as well
            before += [(one._buffers, name, it) for name, it in one._buffers.items() if it is None]
            own, grid = types(one), casting.grid(one)
            weights: dict[str, Any] = one._parameters
            for held, made in ((weights, casting.cast), (one._buffers, buffers)):
                for name, tensor in [(name, one) for name, one in held.items() if one is not None]:
                    if id(tensor) not in made:
                        kept = grid.weight(tensor) if grid and held is weights else tensor
                        made[id(tensor)] = casting.weight(kept, own.get(name))
                    before.append((held, name, tensor))
                    held[name] = made[id(tensor)]
        yield
    finally:
        for held, name, tensor in before:
            held[name] = tensor
        for attributes, values in as_they_were:
            attributes.clear()
            attributes.update(values)


def _put_in_state(module: torch.nn.Module, state: Mapping[str, Any], casting: Casting) -> None:
    """What earlier calls left in buffers and attributes of my's module, in those of golden's that
    are the like: all of which is put back with the weights."""
    made = Mapper(casting.argument, casting.kind)
    for name, value in state.items():
        own = module._buffers.get(name)
        if isinstance(value, Absent):
            vars(module).pop(name, None)
        elif name not in module._buffers:
            vars(module)[name] = made.of(value)
        elif isinstance(value, Held) and own is not None and own.shape == value.tensor.shape:
            module._buffers[name] = made.of(value).to(own.dtype)


@contextlib.contextmanager
def _hooked_once(answered: Sequence[torch.nn.Module]) -> Iterator[None]:
    """What hooks made of the results of modules that are not run is in what was recorded, and what
    they make of arguments comes behind it."""
    names = ("_forward_pre_hooks", "_forward_hooks")
    before = [(vars(one), name, vars(one)[name]) for one in answered for name in names]
    try:
        for attributes, name, _ in before:
            attributes[name] = OrderedDict()
        yield
    finally:
        for attributes, name, hooks in before:
            attributes[name] = hooks


@contextlib.contextmanager
def _answered(
    answers: Sequence[Answer], casting: Casting, found: Replayed, saved: Saved
) -> Iterator[None]:
    """Each module that answers with my's calls does not run."""
    before: list[tuple[torch.nn.Module, Any]] = []
    try:
        for one in answers:
            before.append((one.module, one.module.__dict__.get("forward")))
            one.module.__dict__["forward"] = _standing_in(one, casting, found, saved)
        yield
    finally:
        for module, forward in reversed(before):
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def _standing_in(
    answer: Answer, casting: Casting, found: Replayed, saved: Saved
) -> Callable[..., Any]:
    waiting, names = iter(answer.calls), list[str]()

    def forward(*args: Any, **kwargs: Any) -> Any:
        call = next(waiting, None)
        if call is None:
            raise NotReplayedError(
                f"golden calls {answer.calls[0].name} more often than my, {len(answer.calls)} times"
            )
        operands = inputs_of(answer.module, args, kwargs)
        found.given[call.began] = {name: saved.held(tensor) for name, tensor in operands}
        made = Mapper(casting.argument, casting.kind)
        if call.left is not None:
            before, after = (by_name(names, *each) for each in (call.arguments, call.left))
            leave(by_name(names, args, kwargs), before, after, made)
        return made.of(call.result)

    with contextlib.suppress(TypeError, ValueError):
        signature = inspect.signature(answer.module.forward)
        forward.__signature__ = signature  # type: ignore[attr-defined]
        names += [name for name, one in signature.parameters.items() if one.kind in _IN_PLACE]
    return forward
