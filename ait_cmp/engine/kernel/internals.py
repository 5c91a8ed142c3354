"""What is used of numba and llvmlite beyond their documented interface; `tests/test_kernel.py`
names it too, so that a version without it is told apart from a fault of ours.

- `njit(_nrt=False)`: functions without numba's run-time (`abi.flags`).
- `numba.config.CACHE_DIR`, read where a dispatcher is made.
- the event `numba:compile`, sent before anything is compiled and not sent where it is loaded.
- `numba.extending.intrinsic` with llvmlite's builder: `make_array`, `data`, `shape`, vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from llvmlite import ir
from numba import njit, types
from numba.core import event
from numba.extending import intrinsic

__all__ = ["VERSION", "compiling", "config", "intrinsic", "ir", "njit", "types"]

VERSION: str = numba.__version__
config: Any = numba.config


class _Listener(event.Listener):
    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def on_start(self, event: event.Event) -> None:
        del event
        self._then()

    def on_end(self, event: event.Event) -> None:
        del event


@contextmanager
def compiling(then: Callable[[], None]) -> Iterator[None]:
    """Call `then`, which may raise, before anything is compiled."""
    with event.install_listener("numba:compile", _Listener(then)):
        yield
