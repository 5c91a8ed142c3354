"""What is used of numba and llvmlite beyond their documented interface; `tests/test_kernel.py`
names it too, so that a version without it is told apart from a fault of ours.

- `njit(_nrt=False)`: functions without numba's run-time (`abi.flags`).
- the `entry_point` of a compile result: to choose it by the types of what it is given takes longer
  than small pairs do.
- `numba.config.CACHE_DIR`, read where a dispatcher is made.
- the event `numba:compile`, sent before anything is compiled and not sent where it is loaded.
- the target's `refresh`, by which numba learns its library of functions, under the compiler's lock;
  machine code that is only loaded needs none of it.
- `numba.extending.intrinsic` with llvmlite's builder: `make_array`, `data`, `shape`, vectors;
  `cgutils.for_range` and `alloca_once_value`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, event, registry
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

__all__ = [
    "VERSION",
    "NotCachedError",
    "cgutils",
    "config",
    "intrinsic",
    "ir",
    "njit",
    "only_loading",
    "types",
]

VERSION: str = numba.__version__
config: Any = numba.config


def entry_point(function: Any, signature: Any) -> Any:
    """The machine code of what `njit` made for `signature`, which the caller answers for."""
    return function.get_compile_result(signature).entry_point


class NotCachedError(Exception):
    """What was to be loaded would have to be compiled."""


class _Refuse(event.Listener):
    def on_start(self, event: event.Event) -> None:
        del event
        raise NotCachedError

    def on_end(self, event: event.Event) -> None:
        del event


@contextmanager
def only_loading() -> Iterator[None]:
    """`njit` with a signature loads from the cache; raises NotCachedError before it compiles.

    Half the time and 11 MiB of loading are numba's reading of its own library, left out here.
    """
    target: Any = registry.cpu_target.target_context
    with global_compiler_lock, event.install_listener("numba:compile", _Refuse()):
        target.refresh = _nothing  # instead of the method of the class
        try:
            yield
        finally:
            del target.refresh


def _nothing() -> None: ...
