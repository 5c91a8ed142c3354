"""What a module chooses by scores, and which of its choices rounding alone turns.

Scores that are closer than rounding are chosen among in one way by golden's module in float64, in
another in my's types, and in a third by my's kernels: none is wrong, and all that follows is of the
choice. So golden's module is run once more, and made to choose as my's does where that is a tie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Choice", "Choosing", "near_ties"]

# A margin is a tie up to so many times what rounding makes of the scores: 5 as in a compare, and
# my's kernels may round more often. Scores that rounding makes half of tell nothing.
_MARGIN, _FAR_OFF = 8.0, 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """What one operation chose: places in `scores` along `dim`, or of each score by itself yes or
    no, where `dim` is None. Of what is not `sorted` the order says nothing."""

    scores: torch.Tensor
    chosen: torch.Tensor
    dim: int | None = None
    sorted: bool = True

    @property
    def lines(self) -> int:
        """How many times something was chosen."""
        if self.dim is None:
            return self.chosen.numel()
        return self.chosen.numel() // self.chosen.shape[self.dim]

    def turned(self, other: torch.Tensor) -> int:
        """How many times `other` is another choice."""
        differs = self.chosen != other
        return int((differs if self.dim is None else differs.any(self.dim)).sum())


class Choosing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While this holds, choices are kept, and each is made as `instead` has it, in its order."""

    def __init__(self, instead: Sequence[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: list[Choice] = []
        self._instead = instead

    def __enter__(self) -> Choosing:
        self.made.clear()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        output = func(*args, **(kwargs or {}))
        read = _READ.get(func._schema.name)
        if read is None:
            return output
        given = {one.name: one.default_value for one in func._schema.arguments}
        given |= dict(zip(given, args, strict=False)) | dict(kwargs or {})
        return read(self, given, output)

    def along(self, given: Mapping[str, Any], output: Any) -> Any:
        """Of a `topk` and the like: places along an axis, with the values there or without."""
        scores, dim = given["self"], given.get("dim")
        chosen = output[-1] if isinstance(output, (tuple, list)) else output
        if chosen.is_floating_point() or not (scores.is_floating_point() and scores.dim()):
            return output
        if dim is None:  # of all
            scores, dim, places = scores.flatten(), 0, chosen.reshape(1)
        else:
            places = chosen if chosen.dim() == scores.dim() else chosen.unsqueeze(dim)
        kept = scores.clone(), places.clone(), dim, given.get("sorted", True)
        places = self._next(Choice(*kept))
        if places is None:
            return output
        values, places = (it.reshape(chosen.shape) for it in (scores.gather(dim, places), places))
        return places if chosen is output else (values, places)

    def each(self, given: Mapping[str, Any], output: torch.Tensor) -> torch.Tensor:
        """Of a comparison."""
        one, other = given["self"], given["other"]
        if not any(torch.is_tensor(it) and it.is_floating_point() for it in (one, other)):
            return output
        instead = self._next(Choice(one - other, output.clone()))
        return output if instead is None else instead.clone()

    def _next(self, choice: Choice) -> torch.Tensor | None:
        """What is to be chosen instead. Raises ValueError where that is no such choice."""
        place = len(self.made)
        self.made.append(choice)
        if not self._instead:
            return None
        if place >= len(self._instead) or self._instead[place].shape != choice.chosen.shape:
            raise ValueError("it makes other choices than in my's types")
        return self._instead[place]


_READ: dict[str, Callable[[Choosing, Mapping[str, Any], Any], Any]] = {
    **{f"aten::{name}": Choosing.along for name in ("topk", "sort", "argmax", "argmin")},
    **{f"aten::{name}": Choosing.along for name in ("max", "min")},
    **{f"aten::{name}": Choosing.each for name in ("gt", "ge", "lt", "le")},
}


def near_ties(golden: Choice, reference: Choice, mine: torch.Tensor) -> torch.Tensor:
    """What golden's module may choose as well: `mine` in lines where golden's scores say so, within
    what `reference`, the same choice in my's types, shows of their rounding, else as that; golden's
    own where rounding makes anything of the scores."""
    scores = golden.scores.double()
    error = _norm(reference.scores.double() - scores) / (_norm(scores) or math.inf)
    if not error <= _FAR_OFF:
        return golden.chosen
    limit = _MARGIN * error
    if golden.dim is None:
        whole = _norm(scores) / math.sqrt(max(1, scores.numel()))
        return torch.where(scores.abs() <= limit * whole, mine, reference.chosen)
    dim = golden.dim
    is_place = ((mine >= 0) & (mine < scores.shape[dim])).all(dim, keepdim=True)
    is_place &= (mine.sort(dim).values.diff(dim=dim) != 0).all(dim, keepdim=True)
    one, other = (scores.gather(dim, it) for it in (golden.chosen, torch.where(is_place, mine, 0)))
    if not golden.sorted:
        one, other = one.sort(dim).values, other.sort(dim).values
    typical = _finite(scores).square().mean(dim, keepdim=True).sqrt()
    size = torch.maximum(torch.maximum(_finite(one).abs(), _finite(other).abs()), typical)
    is_near = ((one == other) | ((one - other).abs() <= limit * size)).all(dim, keepdim=True)
    return torch.where(is_place & is_near, mine, reference.chosen)


def _norm(tensor: torch.Tensor) -> float:
    return float(_finite(tensor).norm())


def _finite(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.nan_to_num(0.0, 0.0, 0.0)
