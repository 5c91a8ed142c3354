"""What a model learns by: its parameters and buffers, their gradients and those of activations,
what its optimizer keeps, and what that is set to.

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
from typing import Any, Literal, NamedTuple, Protocol

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
    """The last round of a model by which it may learn, how often each gradient came in it, and by
    the `id` of a module its calls that gave back nothing of which a gradient can be."""

    path: str
    saves: bool
    times: Counter[str] = field(default_factory=Counter)
    apart: defaultdict[int, list[_Place]] = field(default_factory=lambda: defaultdict(list))


class Learning:
    """Puts what a request wants of this kind; `moment` gives the next place in the order of all."""

    def __init__(self, request: DumpRequest, put: Put, moment: Callable[[], int]) -> None:
        self._request, self._put, self._moment = request, put, moment
        self._seen: dict[int, _Seen] = {}  # by model, the last that was called behind the others
        self._adopted: set[int] = set()
        self._weighed: set[int] = set()
        # Models may share a parameter: one in another, or an average that steps are made of.
        self._owners: MutableMapping[torch.Tensor, dict[int, _Owner]] = WeakIdKeyDictionary()
        self._heard: MutableMapping[torch.Tensor, bool] = WeakIdKeyDictionary()
        # Of each its number, and those of its steps.
        self._optimizers: MutableMapping[Any, tuple[int, Iterator[int]]] = WeakIdKeyDictionary()
        self._count = itertools.count()
        self._handles: list[Any] = []
        if "optimizer" in request.types:
            self._handles.append(register_optimizer_step_post_hook(self._stepped))

    def begin(self, module: torch.nn.Module, root: int, path: str, current: Round) -> None:
        """A round of a module that the script calls begins; it is saved at `path`."""
        if torch.is_grad_enabled() or root not in self._seen:
            self._seen.pop(root, None)
            self._seen[root] = _Seen(path, current.saves)
        learns = not {"grad", "optimizer"}.isdisjoint(self._request.types)
        # A model may have got parameters since its first round.
        if learns and (current.saves or root not in self._adopted):
            self._adopted.add(root)
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
        if seen and not heard and f"{path}/".startswith(f"{seen.path}/"):
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
            if not isinstance(tensor, torch.nn.Parameter):
                continue
            self._owners.setdefault(tensor, {}).setdefault(owner.root, owner)
            learns = tensor.requires_grad and tensor.is_leaf
            if "grad" in self._request.types and learns and tensor not in self._heard:
                self._heard[tensor] = True
                self._handles.append(_hear_first(tensor, self._accumulated))

    def _owner(self, parameter: torch.Tensor) -> _Owner | None:
        """Where the model has it that was called last to learn."""
        owners = self._owners.get(parameter, {})
        return next((owners[root] for root in reversed(self._seen) if root in owners), None)

    def _accumulated(self, parameter: torch.Tensor) -> None:
        owner = self._owner(parameter)
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
            settings = dict(_settings(optimizer, group))
            for parameter in group["params"]:
                owner = self._owner(parameter)
                if owner is None:
                    continue
                for kind, name, tensor in _stepped_by(optimizer, parameter, settings):
                    line = self._line(owner, f"{kind}.{owner.name}.{name}")
                    self._put(learned(root, kind, next(states)), tensor.detach(), line, owner.said)

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


def _settings(
    optimizer: torch.optim.Optimizer, group: Mapping[str, Any]
) -> Iterator[tuple[str, torch.Tensor]]:
    """The numbers that the parameters of a group are learned with: `lr`, `betas.1`. What a
    scheduler keeps in a group as well is none of them."""
    for key in optimizer.defaults:
        value = group.get(key)
        named = {key: value}
        if isinstance(value, (list, tuple)):
            named = {f"{key}.{number}": one for number, one in enumerate(value)}
        for name, one in named.items():
            if isinstance(one, torch.Tensor):
                yield name, one
            elif isinstance(one, float | int) and not isinstance(one, bool):
                yield name, torch.tensor(one, dtype=torch.float64)


def _stepped_by(
    optimizer: torch.optim.Optimizer, parameter: torch.Tensor, settings: Mapping[str, torch.Tensor]
) -> Iterator[tuple[Literal["set", "state"], str, torch.Tensor]]:
    """What a step of `parameter` was made by, each with its kind and name: settings, and what is
    kept of it; where that is nothing, the gradient, which was clipped, perhaps, since it came."""
    yield from (("set", name, one) for name, one in settings.items())
    state = optimizer.state.get(parameter, {})
    kept = {name: one for name, one in state.items() if isinstance(one, torch.Tensor)}
    if not kept and parameter.grad is not None:
        kept = {"grad": parameter.grad}
    yield from (("state", name, one) for name, one in kept.items())


def _hear_first(parameter: torch.Tensor, look: Callable[[torch.Tensor], None]) -> Any:
    """Have `look` see a parameter that has its gradient before others can take that away, as an
    optimizer does that steps in the backward pass."""
    handle = parameter.register_post_accumulate_grad_hook(look)  # type: ignore[no-untyped-call]
    hooks: Any = parameter._post_accumulate_grad_hooks
    for other in [key for key in hooks if key != handle.id]:
        hooks[other] = hooks.pop(other)
    return handle


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
