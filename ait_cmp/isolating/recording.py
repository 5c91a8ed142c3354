"""Calls of modules, kept so that they can be made again: arguments as they were, and what came.

A tensor is copied once for each change of it, whoever is given it: what a module is given is what
another gave back, mostly.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch

from ait_cmp.dump import hooks
from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.identity import inputs_of, module_identities, outputs_of
from ait_cmp.dump.recorder import Recorder
from ait_cmp.dump.unseen import COMPILED
from ait_cmp.fingerprint.checksum import checksum_of
from ait_cmp.isolating.grids import Grid, grid_of
from ait_cmp.isolating.leaving import is_same
from ait_cmp.isolating.own_state import Absent, attributes_of
from ait_cmp.isolating.structure import Held, Inside, Mapper, mapped, places
from ait_cmp.tensors import version_of

__all__ = [
    "FLOATING",
    "Call",
    "Drawn",
    "ModuleName",
    "Owned",
    "Recording",
    "Saved",
    "identities_of",
    "layer_by_layer",
    "moved",
    "recorded",
    "run_with",
]

_ALL = 10**9  # rounds
_COMPILED = "OptimizedModule"  # what torch.compile makes of a module
FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)  # that are cast

ModuleName = tuple[str, str]  # a module's key and shell, as `dump.identity` has them
Operands = tuple[tuple[str, Held], ...]
Owned = tuple[tuple[str, Any], ...]  # buffers, and attributes of any structure


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a call depends on beside its arguments: random numbers, and how torch was set."""

    random: torch.Tensor
    cuda: tuple[torch.Tensor, ...]
    autocast: Mapping[str, torch.dtype]  # by kind of device, where it is on


@dataclass(slots=True, eq=False)
class Call:
    """One call of a module: `arguments` and what it gave back, with all tensors held.

    `changed` are tensors among the arguments that are others after it, by the path to each, and
    `left` all arguments as it left them, where any is; `state` are its own buffers and attributes
    before it, and `moved` what it left in those that it changed; `beside` are those of the module
    around it that it changed. `why` says why it cannot be made again. Of one that is `compiled` no
    hook sees what is inside.
    """

    module: ModuleName
    kind: str
    token_id: int
    again: int
    began: int
    around: Call | None
    arguments: Any = None
    inputs: Operands = ()
    drawn: Drawn | None = None
    ended: int = -1
    result: Any = None
    outputs: Operands = ()
    changed: Operands = ()
    left: Any = None
    state: Owned = ()
    moved: Owned = ()
    beside: tuple[str, ...] = ()
    why: str = ""
    compiled: bool = False
    inside: list[Call] = field(default_factory=list)

    @property
    def owner(self) -> str:
        """How a person calls its module: the model itself by its class."""
        key, shell = self.module
        return f"{key}{f'@{shell}' if shell else ''}" or self.kind

    @property
    def name(self) -> str:
        """How a dump calls what it is of, without the operand."""
        again = f"#{self.again}" if self.again else ""
        return f"{self.owner if any(self.module) else ''}{again}"

    def under(self, operand: str) -> str:
        """How a dump calls a tensor of it."""
        return f"{self.name}/{operand}" if self.name else operand

    @property
    def peers(self) -> str:
        """The modules that the same kernels are thought to work for: those of its class, but a
        compiled one has kernels of its own."""
        return f"{self.kind} of {self.owner}" if self.compiled else self.kind


@dataclass(slots=True)
class Recording:
    """All calls of a run, in the order in which they began, and the types of each module's own
    tensors by their names."""

    calls: list[Call] = field(default_factory=list)
    types: dict[ModuleName, dict[str, torch.dtype]] = field(default_factory=dict)
    grids: dict[ModuleName, Grid] = field(default_factory=dict)  # of those that are quantised

    def states(self) -> Iterator[tuple[Call, dict[str, Any]]]:
        """Every call with what of its module's own is state, since calls change it: what none
        changes is the module's own. Of what it does not have yet, that it is absent."""
        first: dict[tuple[ModuleName, str], Any] = {}
        varied: dict[ModuleName, set[str]] = {}
        for call in self.calls:
            of = varied.setdefault(call.module, set())
            of |= {name for name, _ in call.moved}
            for name, value in call.state:
                if not is_same(first.setdefault((call.module, name), value), value):
                    of.add(name)
        for call in self.calls:
            own = dict(call.state)
            yield call, {name: own.get(name, Absent()) for name in sorted(varied[call.module])}

    def tensors(self) -> dict[tuple[int, str], Held]:
        """What every call was given and gave back, by round and name."""
        return {
            (call.token_id, call.under(operand)): held
            for call in self.calls
            for operand, held in (*call.inputs, *call.outputs)
        }


class Saved:
    """Copies of tensors, one of each state that a tensor has while it lives; in memory, or as files
    in `folder`."""

    def __init__(self, folder: str = "", name: Callable[[Any], Any] | None = None) -> None:
        """`name` is made of what else stands for another thing in another run."""
        self._folder, self._name = folder, name
        self._numbers = itertools.count()
        self._known: dict[int, tuple[Any, object, Held]] = {}

    def of(self, value: Any) -> Any:
        """`value` with all of its tensors held."""
        return mapped(value, self.held, kinds=self._name)

    def held(self, tensor: Any) -> Held:
        """A copy of `tensor` as it is now."""
        if isinstance(tensor, Held):
            return tensor
        state = _state_of(tensor)
        of, known_state, known = self._known.get(id(tensor), (None, None, None))
        if of is None or of() is not tensor:
            known = None
        if known and known_state == state:
            return known
        with torch.inference_mode(mode=False), torch.no_grad():
            copy = torch.empty_like(tensor, device="cpu", requires_grad=False)
            copy.copy_(tensor.detach())
        number = known.number if known else next(self._numbers)
        held = self._kept(copy, str(tensor.device), number)
        self._known[id(tensor)] = weakref.ref(tensor), state, held
        return held

    def operands(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> Operands:
        """Copies of these, by their names."""
        return tuple((name, self.held(tensor)) for name, tensor in tensors)

    def own(self, module: torch.nn.Module) -> tuple[tuple[str, Any], ...]:
        """Copies of what may be state of the module: its own buffers, and attributes."""
        buffers = module._buffers.items()
        held = self.operands((name, one) for name, one in buffers if one is not None)
        return (*held, *((name, self.of(one)) for name, one in attributes_of(module).items()))

    def _kept(self, copy: torch.Tensor, device: str, number: int) -> Held:
        if not self._folder:
            return Held(copy, device, copy.dtype, number=number)
        file = f"{self._folder}/{next(self._numbers):06}.pth"
        torch.save(copy, file)
        return Held(None, device, copy.dtype, file, number)


def _state_of(tensor: torch.Tensor) -> object:
    """What is another once a tensor has changed. That is its bits, since torch counts no change
    through `.data` or `.numpy()`, nor those of the running statistics of a batch norm; of what has
    none that could be viewed, as quantised and sparse tensors, what torch counts."""
    with contextlib.suppress(Exception):
        return checksum_of(tensor), tensor.shape, tensor.dtype
    version = version_of(tensor)
    return object() if version is None else version  # in inference mode torch does not count


class CallRecorder(Recorder):
    """Keeps each call that it is told of, of `model`, or of whatever the process calls, in the
    rounds of `request`; `ended` hears of each call of a model that has ended, and of what it
    called. While it is `paused` it keeps none."""

    def __init__(
        self,
        recording: Recording,
        request: DumpRequest,
        model: torch.nn.Module | None = None,
        ended: Callable[[torch.nn.Module, Call], None] | None = None,
        folder: str = "",
    ) -> None:
        modules = None if model is None else {id(module) for module in model.modules()}
        super().__init__(request, modules)
        self.paused = False
        self._recording = recording
        self._identities = {} if model is None else module_identities(model)
        self._ended = ended
        self._times: Counter[tuple[int, ModuleName]] = Counter()
        self._saved = Saved(folder, self._named)
        # By the id of what the base has of it, with the arguments, which hooks may put others for.
        self._kept: dict[int, tuple[Any, Call, Any]] = {}
        # By the same the module around, and its buffers before.
        self._around: dict[int, tuple[torch.nn.Module | None, Owned]] = {}
        self._compiled: dict[int, tuple[torch.nn.Module, Callable[..., Any]]] = {}
        self._seen: set[int] = set()  # of these, those that run now
        if model is not None:
            self._see_compiled(model)

    def enter(self, module: torch.nn.Module, inputs: Any, frame: FrameType) -> None:
        """Keep the arguments of a call."""
        if self.paused or id(module) in self._seen:
            return
        try:
            begun = self._begin(module, frame)
            if not begun.round.saves:
                return
            call = self._keep(begun, inputs)
            call.arguments = self._saved.of((tuple(inputs[0]), dict(inputs[1])))
            call.inputs = self._saved.operands(inputs_of(module, *inputs))
            call.state = self._saved.own(module)
            call.drawn = _drawn()
        except Exception as exc:
            self.warn(f"{type(module).__name__} is not recorded ({type(exc).__name__}: {exc})")

    def leave(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        """Keep what came of it."""
        if self.paused or id(module) in self._seen:
            return
        try:
            begun = self._end(module)
            if begun is None or id(begun) not in self._kept:
                return
            _, call, given = self._kept.pop(id(begun))
            call.ended = next(self._process.moments)
            call.result = self._saved.of(output)
            call.outputs = self._saved.operands(outputs_of(output))
            left = self._saved.of((tuple(given[0]), dict(given[1])))
            call.changed = tuple(_changed(call, left))
            call.left = None if is_same(call.arguments, left) else left
            call.moved = moved(call.state, self._saved.own(module))
            outer, before = self._around.pop(id(begun))
            if outer is not None:
                call.beside = tuple(name for name, _ in moved(before, self._saved.own(outer)))
            if self._ended and call.around is None:
                self._ended(module, call)
        except Exception as exc:
            self.warn(f"{type(module).__name__} is not recorded ({type(exc).__name__}: {exc})")

    def tell(self, sentence: str) -> None:
        """Say once what no hook sees; there is no dump to say it in."""
        self.warn(sentence)

    def tell_compiled(self) -> None:
        """Something is being compiled in this thread: a module that is seen from outside, or not
        at all."""
        stack = self._process.calls.stack
        if stack and id(stack[-1].module) in self._compiled:
            self.tell(COMPILED)
        else:
            super().tell_compiled()

    def close(self) -> None:
        """Nothing more is called."""
        for module, compiled in self._compiled.values():
            module.__dict__["_compiled_call_impl"] = compiled
        self._compiled.clear()
        super().close()

    def _see_compiled(self, model: torch.nn.Module) -> None:
        """Be told of modules that were compiled by their own `compile`, which call no hook."""
        for module in _compiled_in(model):
            if id(module) not in self._compiled:
                compiled = module.__dict__["_compiled_call_impl"]
                self._compiled[id(module)] = module, compiled
                module.__dict__["_compiled_call_impl"] = self._telling(module, compiled)

    def _telling(self, module: torch.nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return compiled(*args, **kwargs)
            self.enter(module, (args, kwargs), sys._getframe(1))
            self._seen.add(id(module))  # its hooks are called where it runs without a graph
            try:
                output = compiled(*args, **kwargs)
            finally:
                self._seen.discard(id(module))
            self.leave(module, (args, kwargs), output)
            return output

        return call

    def _keep(self, begun: Any, inputs: Any) -> Call:
        stack = self._process.calls.stack
        outer = next((one for one in reversed(stack[:-1]) if id(one) in self._kept), None)
        around = self._kept[id(outer)][1] if outer else None
        if around is None and not self._identities:
            self._recording.types |= types_of(begun.module)
            self._recording.grids |= grids_of(begun.module)
            self._see_compiled(begun.module)
        identity = self._identities.get(id(begun.module)) or begun.identity
        name, token_id = (identity.key, identity.shell), begun.round.token_id
        again = self._times[token_id, name]
        self._times[token_id, name] += 1
        kind = type(begun.module).__name__
        call = Call(name, kind, token_id, again, begun.began, around)
        call.compiled = kind == _COMPILED or id(begun.module) in self._compiled
        if around:
            around.inside.append(call)
        self._kept[id(begun)] = begun, call, inputs
        buffers = self._saved.own(outer.module) if outer else ()
        self._around[id(begun)] = outer.module if outer else None, buffers
        self._recording.calls.append(call)
        return call

    def _named(self, kind: Any) -> Any:
        """A module among arguments, or a method of one, by the names of the model that runs."""
        module = getattr(kind, "__self__", kind)
        stack = self._process.calls.stack
        known = self._identities or (stack[0].round.identities if stack else {})
        identity = known.get(id(module)) if isinstance(module, torch.nn.Module) else None
        if identity is None:
            return kind
        method = "" if module is kind else kind.__name__
        return Inside(identity.key, identity.shell, method)


def _compiled_in(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The outermost modules that were compiled by their own `compile`."""
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module.__dict__.get("_compiled_call_impl") is not None:
            yield module
        elif type(module).__name__ != _COMPILED:
            waiting.extend(module.children())


def moved(before: Iterable[tuple[str, Any]], now: Iterable[tuple[str, Any]]) -> Owned:
    """Those of `now` that are others than before, or were not there."""
    known = dict(before)
    return tuple((name, one) for name, one in now if not is_same(one, known.get(name, Absent)))


def _changed(call: Call, left: Any) -> Iterator[tuple[str, Held]]:
    """What of the arguments is another tensor now."""
    before = dict(places(call.arguments))
    for name, held in places(left):
        if before.get(name) is not held:
            yield name, held


def _drawn() -> Drawn:
    has_cuda = torch.cuda.is_available()
    kinds = ("cpu", *(("cuda",) if has_cuda else ()))
    return Drawn(
        torch.get_rng_state(),
        tuple(torch.cuda.get_rng_state_all()) if has_cuda else (),
        {one: torch.get_autocast_dtype(one) for one in kinds if torch.is_autocast_enabled(one)},
    )


@contextlib.contextmanager
def recorded(model: torch.nn.Module) -> Iterator[Recording]:
    """While this holds, the calls of the modules that `model` has now are kept."""
    found = Recording(types=types_of(model), grids=grids_of(model))
    every = DumpRequest("", execute_range=((0, _ALL),))
    recorder = CallRecorder(found, every, model)
    with layer_by_layer(), _state_kept(model), hooks.recording(model, recorder, first=True):
        yield found


@contextlib.contextmanager
def _state_kept(model: torch.nn.Module) -> Iterator[None]:
    """What modules have of their own, and a call may change, is afterwards as before."""
    buffers_before = [
        (module._buffers, name, buffer, None if buffer is None else buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    saved, made = Saved(), Mapper(lambda held: held.tensor.to(held.device, copy=True), None)
    own = [(module, attributes_of(module)) for module in model.modules()]
    held = saved.of([values for _, values in own])  # as one, since modules may share what they keep
    try:
        yield
    finally:
        for (module, values), before in zip(own, held, strict=True):
            for name in attributes_of(module).keys() - values.keys():
                del vars(module)[name]
            for name, value in values.items():
                is_same_still = is_same(saved.of(value), before[name])
                vars(module)[name] = value if is_same_still else made.of(before[name])
        for buffers, name, buffer, value in buffers_before:
            buffers[name] = buffer
            if buffer is None or value is None:
                continue
            # Of inference tensors no other mode changes any.
            with torch.inference_mode(mode=buffer.is_inference()), torch.no_grad():
                buffer.copy_(value)


@contextlib.contextmanager
def layer_by_layer() -> Iterator[None]:
    """While this holds, torch's own encoders call the modules in them, whether or not these have
    hooks."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def types_of(model: torch.nn.Module) -> dict[ModuleName, dict[str, torch.dtype]]:
    """The types of what each module of `model` has of its own."""
    return {name: dict(_types(module)) for name, module in identities_of(model).items()}


def grids_of(model: torch.nn.Module) -> dict[ModuleName, Grid]:
    """How quantised modules keep their weights."""
    found = {name: grid_of(module) for name, module in identities_of(model).items()}
    return {name: grid for name, grid in found.items() if grid}


def _types(module: torch.nn.Module) -> Iterator[tuple[str, torch.dtype]]:
    """Of its own weights and buffers."""
    for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
        if tensor is not None:
            yield name, tensor.dtype


def run_with(model: torch.nn.Module, inputs: Any) -> None:
    """Call `model` with `inputs`: its only argument, a tuple of them, or a dict of those by name;
    or let a function that is given call it. Floating inputs have the type of its weights."""
    own = next((one.dtype for one in model.parameters() if one.is_floating_point()), None)
    device = next((one.device for one in model.parameters()), torch.device("cpu"))

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        kind = own if own and tensor.dtype in FLOATING else tensor.dtype
        return tensor.detach().to(device, kind, copy=True)

    with torch.no_grad():
        if callable(inputs) and not isinstance(inputs, torch.Tensor):
            inputs(model)
            return
        given = mapped(inputs, cast)
        if isinstance(given, Mapping):
            model(**given)
        else:
            model(*(given if isinstance(given, tuple) else (given,)))


def identities_of(model: torch.nn.Module) -> dict[ModuleName, torch.nn.Module]:
    """The modules of `model` by their names."""
    by_id = {id(module): module for module in model.modules()}
    return {
        (identity.key, identity.shell): by_id[one]
        for one, identity in module_identities(model).items()
    }
