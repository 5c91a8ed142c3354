"""The tensors in nested dicts and lists of a pickle, each by a name of its own."""

from __future__ import annotations

from collections.abc import Iterator

from ait_cmp.source.header import UnsupportedError
from ait_cmp.source.torch_pickle import Foreign, StoredTensor

__all__ = ["named_members"]

# A pickle may name one container any number of times, in itself too: a few bytes, endless names.
_VISITS = 1 << 20
_LETTERS = 1 << 25  # of all names
_REBUILDS = "_rebuild_"  # how torch calls what makes tensors


def named_members(value: object) -> dict[str, object]:
    """What is or would be a tensor, as `outer.inner` or `outer.0`, in order; where a dot in a key
    makes two names one, the later has `#1` behind it. Raises UnsupportedError for too many."""
    found: dict[str, object] = {}
    for name, one in _leaves(value):
        again, number = name, 0
        while again in found:
            number += 1
            again = f"{name}#{number}"
        found[again] = one
    return found


def _leaves(value: object) -> Iterator[tuple[str, object]]:
    waiting = list(_inside("", value))
    letters = 0
    for _ in range(_VISITS):
        if not waiting:
            return
        name, one = waiting.pop()
        letters += len(name)
        if letters > _LETTERS:
            break
        if isinstance(one, StoredTensor) or _would_be_tensor(one):
            yield name, one
        elif isinstance(one, (dict, list, tuple)) and one:
            waiting += _inside(f"{name}.", one)
    raise UnsupportedError("its containers are in each other without end; save a plain dict")


def _inside(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """What is in a container, last first."""
    if isinstance(value, dict):
        return ((f"{prefix}{key}", value[key]) for key in reversed(value))
    if isinstance(value, (list, tuple)):
        return ((f"{prefix}{place}", value[place]) for place in reversed(range(len(value))))
    return iter(())


def _would_be_tensor(value: object) -> bool:
    """Whether it is one that only torch's code could make, as of sparse tensors."""
    return isinstance(value, Foreign) and value.name.rpartition(".")[2].startswith(_REBUILDS)
