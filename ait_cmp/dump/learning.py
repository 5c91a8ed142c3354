"""What a model learns by: its parameters and buffers, their gradients and those of activations,
and what its optimizer keeps.

Nothing here takes part in a computation: gradients are looked at by hooks of tensors, which give
nothing back, and of parameters after they have theirs. A full backward hook of a module would put
functions of its own into the graph.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakIdKeyDictionary

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.identity import ModuleIdentity
from ait_cmp.dump_tree import Direction, gradient_operand, learned, operation
from ait_cmp.tensors import version_of

__all__ = ["Learning"]

Operands = Iterable[tuple[str, torch.Tensor]]  # each with what it is called
# Takes a tensor by its place, what it is, and what the dump says of its model; raises nothing.
Put = Callable[[str, torch.Tensor, Mapping[str, object], Mapping[str, object]], None]


class Round(Protocol):
    """A round of a module that the script calls: whether it is saved, what the dump says of the
    module, and how those in it are called, by `id`."""

    @property
    def saves(self) -> bool: ...
    @property
    def line(self) -> Mapping[str, object]: ...
    @property
    def identities(self) -> Mapping[int, ModuleIdentity]: ...
    @property
    def names(self) -> Mapping[int, str] | None: ...


@dataclass(frozen=True, slots=True)
class _Owner:
    """Where a model has a parameter."""

    root: int
    identity: ModuleIdentity
    name: str
    number: int  # among all of the model
    said: Mapping[str, object]  # of the model


class _Place(NamedTuple):
    """Where tensors of a call of a model are saved, and what is said of the call and the model."""

    path: str
    line: Mapping[str, object]
    said: Mapping[str, object]


@dataclass(slots=True)
class _Seen:
    """The last round of a model, how often each gradient came in it, and by the `id` of a module
    its calls that gave back nothing of which a gradient can be."""

    path: str
    saves: bool
    times: Counter[str] = field(default_factory=Counter)
    apart: defaultdict[int, list[_Place]] = field(default_factory=lambda: defaultdict(list))


class Learning:
    """Puts what a request wants of this kind; `moment` gives the next place in the order of all."""

    def __init__(self, request: DumpRequest, put: Put, moment: Callable[[], int]) -> None:
        self._request, self._put, self._moment = request, put, moment
        self._seen: dict[int, _Seen] = {}
        self._weighed: set[int] = set()
        self._owners: MutableMapping[torch.Tensor, _Owner] = WeakIdKeyDictionary()
        # Of each its number, and those of its steps.
        self._optimizers: MutableMapping[Any, tuple[int, Iterator[int]]] = WeakIdKeyDictionary()
        self._count = itertools.count()
        self._handles: list[Any] = []
        if "optimizer" in request.types:
            self._handles.append(register_optimizer_step_post_hook(self._stepped))

    def begin(self, module: torch.nn.Module, root: int, path: str, current: Round) -> None:
        """A round of a module that the script calls begins; it is saved at `path`."""
        first = root not in self._seen
        self._seen[root] = _Seen(path, current.saves)
        if first and not {"grad", "optimizer"}.isdisjoint(self._request.types):
            self._adopt(self._learned(module, root, current))
        if "weight" in self._request.types and current.saves and root not in self._weighed:
            self._weighed.add(root)
            for owner, tensor in self._learned(module, root, current):
                place = learned(path, "weight", owner.number)
                self._put(place, tensor.detach(), self._line(owner, owner.name), owner.said)

    def pause(self) -> None:
        """A call begins of which nothing is wanted."""
        for seen in self._seen.values():
            seen.saves = False

    def called(
        self,
        module: torch.nn.Module,
        root: int,
        path: str,
        line: Mapping[str, object],
        said: Mapping[str, object],
        outputs: Operands,
        inputs: Operands,
    ) -> None:
        """A call has ended, which is saved at `path`; gradients of these are wanted, if they get
        any."""
        if "grad" not in self._request.types:
            return
        place = _Place(path, line, said)
        heard = self._hear(place, "out", outputs)
        self._hear(place, "in", inputs)
        seen = self._seen.get(root)
        if seen and not heard:
            seen.apart[id(module)].append(place)

    def recomputed(self, module: torch.nn.Module, outputs: Operands) -> None:
        """A backward pass has called `module` again: where its first call was made without a graph,
        as by a reentrant checkpoint, gradients are those of this one. Which of several it repeats
        is not known."""
        places = [
            place
            for seen in self._seen.values()
            if seen.saves
            for place in seen.apart.get(id(module), ())
        ]
        if len(places) == 1:
            self._hear(places[0], "out", outputs)

    def close(self) -> None:
        """Look at nothing more."""
        for handle in self._handles:
            handle.remove()

    def _hear(self, place: _Place, direction: Direction, operands: Operands) -> bool:
        """Look at the gradients of tensors of a call; whether some may get one."""
        heard = False
        for number, (what, tensor) in enumerate(operands):
            if tensor.requires_grad:
                heard = True
                name = f"{place.path}/{gradient_operand(direction, number)}"
                _hear(tensor, self._looking(name, f"grad.{what}", place.line, place.said))
        return heard

    def _looking(
        self, place: str, operand: str, line: Mapping[str, object], said: Mapping[str, object]
    ) -> Callable[[torch.Tensor], None]:
        times = itertools.count()

        def look(gradient: torch.Tensor) -> None:
            time = next(times)  # again where the graph is gone through again
            more = {"operand": _again(operand, time), "at": self._moment()}
            self._put(_again(place, time), gradient.detach(), {**line, **more}, said)

        return look

    def _adopt(self, found: Iterable[tuple[_Owner, torch.Tensor]]) -> None:
        """Know the parameters of a model, and hear of their gradients."""
        for owner, tensor in found:
            if tensor in self._owners or not isinstance(tensor, torch.nn.Parameter):
                continue
            self._owners[tensor] = owner
            if "grad" in self._request.types and tensor.requires_grad and tensor.is_leaf:
                hear = tensor.register_post_accumulate_grad_hook
                self._handles.append(hear(self._accumulated))  # type: ignore[no-untyped-call]

    def _accumulated(self, parameter: torch.Tensor) -> None:
        owner = self._owners.get(parameter)
        seen = self._seen.get(owner.root) if owner else None
        if not (owner and seen and seen.saves and parameter.grad is not None):
            return
        place = learned(seen.path, "grad", owner.number)
        time = seen.times[place]
        seen.times[place] += 1
        line = self._line(owner, _again(f"grad.{owner.name}", time))
        self._put(_again(place, time), parameter.grad.detach(), line, owner.said)

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Any optimizer has made a step."""
        if optimizer not in self._optimizers:
            self._optimizers[optimizer] = next(self._count), itertools.count()
        number, steps = self._optimizers[optimizer]
        step = next(steps)
        if not self._request.covers(step):
            return
        root = f"{step}/{operation(number, type(optimizer).__name__)}"
        states = itertools.count()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                owner = self._owners.get(parameter)
                state = optimizer.state.get(parameter, {}) if owner else {}
                for key, value in state.items():
                    if owner and isinstance(value, torch.Tensor):
                        line = self._line(owner, f"state.{owner.name}.{key}")
                        place = learned(root, "state", next(states))
                        self._put(place, value.detach(), line, owner.said)

    def _learned(
        self, module: torch.nn.Module, root: int, current: Round
    ) -> Iterator[tuple[_Owner, torch.Tensor]]:
        """The parameters and buffers of the modules of a model that are wanted, each by every name
        that it has, since another run may not have it by the first."""
        numbers = itertools.count()
        for each in module.modules():
            name = (current.names or {}).get(id(each), "")
            names = (name, name.rpartition(".")[2], type(each).__name__)
            wanted = self._request.selects((), names)
            for own, tensor in (*each._parameters.items(), *each._buffers.items()):
                number = next(numbers)
                if wanted and tensor is not None:
                    identity = current.identities[id(each)]
                    yield _Owner(root, identity, own, number, current.line), tensor

    def _line(self, owner: _Owner, operand: str) -> dict[str, object]:
        return owner.identity.line(operand, self._moment(), owner.root)


def _hear(tensor: torch.Tensor, look: Callable[[torch.Tensor], None]) -> None:
    """Have `look` see the gradient of `tensor` as it is now.

    A view that is changed in place has another place in the graph from then on, and what was to be
    told of the old one never is: of such the gradient is that of what it is a view of, as a linear
    layer's output is of the product.
    """
    base = tensor._base
    is_same = base is not None and base.requires_grad and base.numel() == tensor.numel()
    if base is None or not (is_same and _are_dense(base, tensor)):
        tensor.register_hook(look)  # type: ignore[no-untyped-call]
        return
    heard = _Heard(look, weakref.ref(tensor), version_of(tensor), tensor.shape)
    tensor.register_hook(heard.of_itself)  # type: ignore[no-untyped-call]
    base.register_hook(heard.of_base)  # type: ignore[no-untyped-call]


def _are_dense(*tensors: torch.Tensor) -> bool:
    return all(one.is_contiguous() for one in tensors)


@dataclass(slots=True)
class _Heard:
    """What was heard of a view, in the gradient's way back from it to what it is a view of."""

    look: Callable[[torch.Tensor], None]
    tensor: weakref.ref[torch.Tensor]
    version: int | None
    shape: torch.Size
    itself: bool = False

    def of_itself(self, gradient: torch.Tensor) -> None:
        """It was not changed."""
        self.itself = True
        self.look(gradient)

    def of_base(self, gradient: torch.Tensor) -> None:
        """It may have been changed."""
        tensor, itself, self.itself = self.tensor(), self.itself, False
        if not itself and (tensor is None or version_of(tensor) != self.version):
            self.look(gradient.reshape(self.shape))


def _again(name: str, time: int) -> str:
    """`name`, told from that of the same thing before."""
    if not time:
        return name
    stem, dot, suffix = name.rpartition(".") if name.endswith(".bin") else (name, "", "")
    return f"{stem}@{time}{dot}{suffix}"
