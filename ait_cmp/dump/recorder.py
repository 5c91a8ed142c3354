"""From module calls to a dump: which call it is, by what name, and whether it is wanted."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.identity import (
    ModuleIdentity,
    inputs_of,
    module_identities,
    outputs_of,
    seen_through,
)
from ait_cmp.dump.reason_file import first_line
from ait_cmp.dump.running import Forward, enclosing_forward, frames_to, is_recomputed, is_running
from ait_cmp.dump.tensor_folders import NoRoomError, TensorFolders
from ait_cmp.dump.topology import Node, Topology
from ait_cmp.dump.unseen import (
    COMPILED,
    ENCODER,
    WHOLE_COMPILED,
    compiled_apart,
    hides_its_modules,
    inner_compiled,
    not_called,
    without_inside,
)
from ait_cmp.dump_tree import Direction, Moment, operand, operation
from ait_cmp.tensors import is_traced, version_of

if TYPE_CHECKING:
    from ait_cmp.dump.learning import Learning

__all__ = ["Recorder", "Sink"]

_LOGGER = logging.getLogger("ait_cmp")
_WARNINGS = 100
_OUTERMOST = ModuleIdentity("")
_Inputs = tuple[tuple[Any, ...], Mapping[str, Any]]  # positional, by keyword


class Sink(Protocol):
    """Where tensors go: into folders, or to who looks at them at once."""

    def save(self, name: str, tensor: torch.Tensor, identity: Mapping[str, object], /) -> None:
        """Take a tensor that has values, which is called by its place and is `identity`. What
        goes wrong with it is an exception, which is logged."""

    def say(self, line: Mapping[str, object], /) -> None:
        """Take what the tensors themselves do not tell."""

    def end_round(self) -> None:
        """A round has ended: what was taken stays, however the process ends. Raises OSError."""

    def close(self) -> None:
        """Nothing more comes. Raises OSError."""


@dataclass(slots=True)
class _Root:
    """A module that the script itself calls: each of its calls is a token round.

    When it is gone, the next of its class takes its place, since a loop may make it anew.
    """

    number: int
    kind: str
    model: str  # the class of what it is without wrappers
    module: weakref.ref[torch.nn.Module]
    rounds: int = 0
    described: bool = False


@dataclass(slots=True)
class _Round:
    """One call of a root. Without `names`, nothing of it is wanted."""

    token_id: int
    root: _Root
    names: dict[int, str] | None  # id of a module that the root holds -> its qualified name
    topology: Topology | None
    saves: bool
    identities: dict[int, ModuleIdentity] = field(default_factory=dict)
    line: dict[str, object] = field(default_factory=dict)  # what the dump says of the root
    times: Counter[ModuleIdentity] = field(default_factory=Counter)  # that each was called
    is_recomputed: bool = False


@dataclass(slots=True)
class _Call:
    """A module that runs now."""

    module: torch.nn.Module
    round: _Round
    depth: int  # of its frame in the Python stack
    ids: tuple[int, ...]
    name: str = ""  # the qualified name; of a root, its class
    path: str = ""
    selected: bool = False
    children: int = 0
    identity: ModuleIdentity = _OUTERMOST
    again: int = 0  # how often it was called before in this round
    began: int = 0  # in the order of what begins and ends in the process
    versions: tuple[int | None, ...] = ()  # of the inputs, as torch counts changes in place
    node: Node | None = None  # in the topology
    frame: FrameType | None = None  # of its forward, where no hook saw that begin


class _Calls(threading.local):
    """The modules that run now, outermost first, in each thread."""

    def __init__(self) -> None:
        self.stack: list[_Call] = []


@dataclass(slots=True)
class _Process:
    """What a forked child has to begin anew."""

    request: DumpRequest
    make_sink: Callable[[DumpRequest], Sink]
    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: _Calls = field(default_factory=_Calls)
    roots: list[_Root] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)
    has_stopped: bool = False  # since there is no room
    moments: Iterator[int] = field(default_factory=itertools.count)
    sink: Sink = field(init=False)
    learning: Learning | None = None

    def __post_init__(self) -> None:
        self.sink = self.make_sink(self.request)


class Recorder:
    """Is told when a module begins and ends, in any thread, and saves what `request` wants.

    Its methods never raise into the model: what goes wrong is logged, each thing once.
    """

    def __init__(
        self,
        request: DumpRequest,
        watched: Collection[int] | None = None,
        sink: Callable[[DumpRequest], Sink] | None = None,
    ) -> None:
        """`watched`: the ids of the modules that have hooks, where not all have; `sink` makes what
        takes the tensors, else it is as `request` says."""
        self._request = request
        self._watched = watched
        self._begin_process(sink or _sink(request))

    def _begin_process(self, sink: Callable[[DumpRequest], Sink]) -> None:
        self._process = process = _Process(self._request, sink)
        if self._request.learning:
            from ait_cmp.dump.learning import Learning  # which imports torch.optim

            process.learning = Learning(self._request, self._put, lambda: next(process.moments))

    def enter(self, module: torch.nn.Module, inputs: _Inputs, frame: FrameType) -> None:
        """`module` is about to run with `inputs`; `frame` is the one that calls its forward."""
        try:
            if self._process.pid != os.getpid():
                if self._process.learning:
                    self._process.learning.close()
                self._begin_process(self._process.make_sink)
            call = self._begin(module, frame)
            if call.round.topology:
                self._draw(call.round.topology, call, inputs)
            if call.selected and self._request.inputs and self._request.activations:
                operands = list(inputs_of(module, *inputs))
                call.versions = tuple(version_of(tensor) for _, tensor in operands)
                if self._request.before:
                    self._save(call, "before", "in", operands, call.began)
        except Exception as exc:
            self.warn(f"{type(module).__name__} is not dumped ({type(exc).__name__}: {exc})")

    def leave(self, module: torch.nn.Module, inputs: _Inputs, output: Any) -> None:
        """`module` has run: `inputs` as they are now, and its `output`."""
        try:
            call = self._end(module)
            if call is None:
                return
            if call.round.is_recomputed and self._process.learning:
                self._process.learning.recomputed(module, outputs_of(output))
            if call.selected and self._request.after:
                self._save_after(call, inputs, output)
            if call.round.topology and call.node:
                call.round.topology.end(call.node, _tensors(outputs_of(output)))
                self._describe(call)
            self._tell_unseen(call)
            if not self._process.calls.stack:
                self._or_stop(self._process.sink.end_round)
        except Exception as exc:
            self.warn(f"{type(module).__name__} is not dumped ({type(exc).__name__}: {exc})")

    def close(self) -> None:
        """Nothing more is called."""
        if self._process.learning:
            self._process.learning.close()
        if self._process.pid == os.getpid():
            self._or_stop(self._process.sink.close)

    def is_running(self, module: torch.nn.Module) -> bool:
        """Whether another call of `module` goes on in this thread."""
        return any(call.module is module for call in self._process.calls.stack)

    def is_inside(self, frame: FrameType) -> bool:
        """Whether a module runs that `frame` is called by."""
        frames = frames_to(frame)
        stack = self._process.calls.stack
        return any(is_running(call.depth, call.frame, frames) for call in stack)

    def warn(self, sentence: str, key: str | None = None) -> bool:
        """Log `sentence`, unless one of the same `key` (default: itself) was logged before."""
        warned = self._process.warned
        new = (key or sentence) not in warned and len(warned) < _WARNINGS
        if new:
            warned.add(key or sentence)
            _LOGGER.warning("ait_cmp: %s", sentence)
        return new

    def tell(self, sentence: str) -> None:
        """Say once what is not seen, also in the dump."""
        self.warn(sentence)
        self._process.sink.say({"unseen": sentence})

    def tell_compiled(self) -> None:
        """Something is being compiled in this thread, by which no hook will be called."""
        stack = self._process.calls.stack
        if not stack:
            self.tell(WHOLE_COMPILED)
        elif _inner(stack[-1].module) is stack[-1].module:  # else it was told when that began
            self.tell(inner_compiled(stack[-1].name))

    def tell_never_seen(self, model: torch.nn.Module) -> None:
        """The hooks of `model` go; one that was compiled before they were put knew none."""
        if getattr(model, "_compiled_call_impl", None) is not None and not self._process.roots:
            self.tell(WHOLE_COMPILED)

    def _tell_unseen(self, call: _Call) -> None:
        """What of a call that ended no hook saw."""
        module, current = call.module, call.round
        inner = _inner(module)
        if call.selected and not call.children and inner is module and hides_its_modules(module):
            # Of one class once, by the first of them.
            sentence = without_inside(call.identity.key, _kind(module))
            if self.warn(sentence, f"inside {_kind(module)}"):
                self._process.sink.say({"unseen": sentence})
        if len(call.ids) == 1 and current.saves:
            apart = [
                identity.key
                for each in module.modules()
                if getattr(each, "_compiled_call_impl", None) is not None
                and (identity := current.identities.get(id(each)))
                and identity not in current.times
            ]
            if apart:
                self.tell(compiled_apart(apart))

    def _begin(self, module: torch.nn.Module, frame: FrameType) -> _Call:
        frames = frames_to(frame)
        stack = self._process.calls.stack
        while stack and not is_running(stack[-1].depth, stack[-1].frame, frames):
            stack.pop()  # ended by an exception, or nobody said that it would end
        depth = len(frames) - 1
        if self._is_recomputed(module):
            stack.append(self._unseen(module, depth, is_recomputed=True))
            return stack[-1]
        if not stack and (around := enclosing_forward(module, frames, self._watched)):
            self._begin_around(around)
        if _inner(module) is not module:
            self.tell(COMPILED)
        if isinstance(module, torch.nn.TransformerEncoderLayer) and not module.training:
            self.tell(ENCODER)
        call = self._child(module, stack[-1], depth) if stack else self._outermost(module, depth)
        call.began = next(self._process.moments)
        stack.append(call)
        return call

    def _begin_around(self, around: Forward) -> None:
        """The module around one that begins runs too, though no hook saw it begin."""
        call = self._outermost(around.module, around.depth)
        call.frame = around.frame
        self._process.calls.stack.append(call)
        if call.round.topology:
            self._draw(call.round.topology, call, ((), {}))
        if call.round.saves:
            self.tell(not_called(_kind(around.module), was_called=around.was_called))

    def _end(self, module: torch.nn.Module) -> _Call | None:
        stack = self._process.calls.stack
        if not any(call.module is module for call in stack):
            return None  # its start was not seen, since it was hooked or compiled meanwhile
        while stack[-1].module is not module:
            stack.pop()
        return stack.pop()

    def _outermost(self, module: torch.nn.Module, depth: int) -> _Call:
        switch = self._request.switch
        if switch and not os.path.exists(switch):
            if self._process.learning:
                self._process.learning.pause()
            return self._unseen(module, depth)
        root, token_id = self._root(module)
        saves = self._request.of_rounds and self._request.covers(token_id)
        learning = self._process.learning
        describes = not root.described and not {"model", "layer"}.isdisjoint(self._request.types)
        current = _Round(token_id, root, None, Topology() if describes else None, saves)
        if saves or describes or (learning and not token_id):
            names = {id(each): _plain(name) for name, each in module.named_modules()}
            current.names, current.identities = names, module_identities(module)
            modules = len({identity.key for identity in current.identities.values()})
            current.line = {"root": root.number, "model": root.model, "modules": modules}
        call = _Call(module, current, depth, (root.number,))
        if current.names is not None:
            self._identify(call, root.kind, f"{token_id}/{operation(root.number, root.kind)}")
        if learning:
            learning.begin(module, root.number, call.path, current)
        return call

    def _is_recomputed(self, module: torch.nn.Module) -> bool:
        """Whether a call that begins is the outermost of those that a backward pass repeats."""
        stack = self._process.calls.stack
        if not is_recomputed() or (stack and stack[-1].round.is_recomputed):
            return False
        return any(
            one is module
            for root in self._process.roots
            if (model := root.module()) is not None
            for one in model.modules()
        )

    def _unseen(self, module: torch.nn.Module, depth: int, *, is_recomputed: bool = False) -> _Call:
        """A call of which nothing is wanted: no round, of which nothing is saved."""
        root = _Root(-1, _kind(module), "", weakref.ref(module))
        current = _Round(-1, root, None, None, False, is_recomputed=is_recomputed)
        return _Call(module, current, depth, (-1,))

    def _child(self, module: torch.nn.Module, parent: _Call, depth: int) -> _Call:
        call = _Call(module, parent.round, depth, (*parent.ids, parent.children))
        parent.children += 1
        names = parent.round.names
        if names is not None:
            name = names.get(id(module)) or _kind(module)
            above = names.get(id(parent.module), "")
            own = name.removeprefix(f"{above}.") if above else name
            self._identify(call, name, f"{parent.path}/{operation(call.ids[-1], own)}")
        return call

    def _identify(self, call: _Call, name: str, path: str) -> None:
        call.name, call.path = name, path
        known = call.round.identities.get(id(call.module))
        stack = self._process.calls.stack
        call.identity = known or stack[-1].identity.inside(_kind(call.module))
        call.again = call.round.times[call.identity]
        call.round.times[call.identity] += 1
        names = (name, name.rpartition(".")[2], _kind(call.module))
        call.selected = call.round.saves and self._request.selects(call.ids, names)

    def _root(self, module: torch.nn.Module) -> tuple[_Root, int]:
        """The root that `module` is, and its round."""
        kind = _kind(module)
        with self._process.lock:
            roots = self._process.roots
            same = (root for root in roots if root.module() is module)
            gone = (root for root in roots if root.module() is None and root.kind == kind)
            root = next(same, None) or next(gone, None)
            if root is None:
                model = type(seen_through(module)).__name__
                root = _Root(len(roots), kind, model, weakref.ref(module))
                roots.append(root)
            root.module = weakref.ref(module)
            root.rounds += 1
            return root, root.rounds - 1

    def _save_after(self, call: _Call, inputs: _Inputs, output: Any) -> None:
        """What a call that ends was given, as it is now, and gives back."""
        learning = self._process.learning
        if learning:
            # The inputs of a call inside are what another gave.
            given = inputs_of(call.module, *inputs) if len(call.ids) == 1 else ()
            said = _line(call, "", 0), call.round.line
            root = call.round.root.number
            learning.called(call.module, root, call.path, *said, outputs_of(output), given)
        if not self._request.activations:
            return
        ended = next(self._process.moments)
        if self._request.inputs:
            operands = list(inputs_of(call.module, *inputs))
            # What was changed in place is a result, which may be wrong by what is inside.
            changed = call.versions != tuple(version_of(tensor) for _, tensor in operands)
            self._save(call, "after", "in", operands, ended if changed else call.began)
        if self._request.outputs:
            self._save(call, "after", "out", outputs_of(output), ended)

    def _save(
        self,
        call: _Call,
        moment: Moment,
        direction: Direction,
        operands: Iterable[tuple[str, torch.Tensor]],
        at: int,
    ) -> None:
        for number, (what, tensor) in enumerate(operands):
            name = f"{call.path}/{operand(moment, direction, number)}"
            self._put(name, tensor, _line(call, what, at), call.round.line)

    def _put(
        self,
        name: str,
        tensor: torch.Tensor,
        line: Mapping[str, object],
        root: Mapping[str, object],
    ) -> None:
        """Save a tensor, which `line` is of, of the model that `root` is of."""
        # What we do to a tensor would be traced too.
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if traced or self._process.has_stopped:
            return
        try:
            self._process.sink.say(root)
            if is_traced(tensor):
                raise TypeError("a graph is being traced, whose tensors have no values")
            with torch.no_grad():
                self._process.sink.save(name, tensor, line)
        except NoRoomError as exc:
            self._stop(f"{exc}: dumping stopped before {name}, and the model goes on")
        except Exception as exc:
            why = first_line(exc)
            self.warn(f"a tensor is not dumped ({why}); the first such is {name}", why)

    def _or_stop(self, saved: Callable[[], None]) -> None:
        try:
            saved()
        except OSError as exc:
            self._stop(f"what was dumped last is lost ({first_line(exc)}), and the model goes on")

    def _stop(self, why: str) -> None:
        """Dump nothing more in this process."""
        self._process.has_stopped = True
        self.tell(why)

    def _draw(self, topology: Topology, call: _Call, inputs: _Inputs) -> None:
        stack = self._process.calls.stack
        parent = stack[-2].node if len(stack) > 1 else None
        path = call.path.partition("/")[2]  # without the token
        tensors = _tensors(inputs_of(call.module, *inputs))
        call.node = topology.begin(parent, call.name, _kind(call.module), path, tensors)

    def _describe(self, call: _Call) -> None:
        """Write the topology of a round that ends with `call`, or may end with it."""
        stack, topology = self._process.calls.stack, call.round.topology
        around = stack[-1] if stack else None
        if topology is None or (around and around.frame is None):
            return
        if around and around.node:
            topology.end(around.node, ())
        root = call.round.root
        with self._process.lock:
            root.described = True
            topology.write(self._request, root.number, root.kind)


def _sink(request: DumpRequest) -> Callable[[DumpRequest], Sink]:
    """What makes the place that `request` wants tensors to go to."""
    if request.watcher:
        from ait_cmp.dump.telling import Telling  # rare

        return Telling
    if not request.fingerprint:
        return TensorFolders
    from ait_cmp.dump.fingerprints import FingerprintFile  # rare

    return functools.partial(FingerprintFile, owner=os.getpid())


def _line(call: _Call, what: str, at: int) -> dict[str, object]:
    """What one of its tensors is, for the list of the dump."""
    return call.identity.line(what, at, call.round.root.number, call.again)


def _tensors(operands: Iterable[tuple[str, torch.Tensor]]) -> Iterator[torch.Tensor]:
    return (tensor for _, tensor in operands)


def _inner(module: torch.nn.Module) -> torch.nn.Module:
    """Of what torch.compile made, the module inside; of any other, itself."""
    # By name, since to import the class takes a second; its attributes would not do, as many
    # wrappers pass on those of what they wrap.
    found: torch.nn.Module = module
    if type(module).__name__ == "OptimizedModule":
        found = module.__dict__["_modules"]["_orig_mod"]
    return found


def _kind(module: torch.nn.Module) -> str:
    return type(_inner(module)).__name__


def _plain(name: str) -> str:
    """A qualified name without what torch.compile adds."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
