"""Changes of a tensor, which are faults or none."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["Change", "changed_at"]

Change = Callable[[Tensor], Tensor]


def changed_at(index: object, change: Change) -> Change:
    """Changes only the elements at `index`."""

    def make(my: Tensor) -> Tensor:
        my = my.clone()
        my[index] = change(my[index])  # type: ignore[index]
        return my

    return make
