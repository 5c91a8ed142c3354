"""Models whose forwards hold locks that golden's want as well, and scripts that are interrupted."""

from __future__ import annotations

import copy
import functools
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch

from ait_cmp import watch
from ait_cmp.judging import Status
from ait_cmp.watching import standstill

LOCKS: dict[str, Any] = {
    "lock": threading.Lock(),
    "rlock": threading.RLock(),
    "semaphore": threading.BoundedSemaphore(),
}
X = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Less of it; and no lock, thread or hook stays."""
    monkeypatch.setattr(standstill, "PATIENCE", 0.5)
    yield
    _wait_until(lambda: all(one.name != "ait_cmp golden" for one in threading.enumerate()))
    for name, lock in LOCKS.items():
        assert lock.acquire(timeout=5), name
        lock.release()


def _wait_until(holds: Any) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class Holding(torch.nn.Module):
    """Three layers, `a`, `b` and `c`, the ones called `held` behind a lock of the process."""

    def __init__(self, held: str, lock: str = "lock", *, acquires: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = (torch.nn.Linear(8, 8) for _ in range(3))
        self.held, self.lock, self.acquires = held, lock, acquires

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self._around("ab"):
            with self._around("a"):
                y = self.a(x)
            with self._around("b"):
                y = self.b(y)
        z: torch.Tensor = self.c(y)
        return z

    def _around(self, names: str) -> AbstractContextManager[Any]:
        if names != self.held:
            return nullcontext()
        return _Acquired(LOCKS[self.lock]) if self.acquires else LOCKS[self.lock]


class _Acquired:
    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        self.lock.acquire(timeout=self.lock.timeout if hasattr(self.lock, "timeout") else 60)

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def _hooks(model: torch.nn.Module) -> list[Any]:
    return [
        hook
        for one in model.modules()
        for hooks in (one._forward_hooks, one._forward_pre_hooks)
        for hook in hooks.values()
    ]


@pytest.mark.parametrize("acquires", [False, True], ids=["with", "acquire"])
@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize(
    ("held", "who", "first"), [(("ab", "ab"), "golden", "a"), (("ab", "b"), "my", "b")]
)
def test_golden_is_given_up_where_a_lock_lets_neither_go_on(
    held: tuple[str, str], who: str, first: str, lock: str, acquires: bool
) -> None:
    """My holds it while golden wants it, or golden holds it in front of its next tensor."""
    golden, my = (Holding(one, lock, acquires=acquires) for one in held)
    expected = my(X)
    with watch(my=my, golden=golden) as watched:
        for _ in range(3):
            assert torch.equal(my(X), expected)
    rows = watched.result.rows
    assert len(rows) == 3 * 4
    errors = [row for row in rows if row.verdict.status is Status.ERROR]
    assert errors == list(rows[1 if first == "b" else 0 :])
    assert errors[0].pair.data_id == f"{first}/out0"
    sentence = errors[-1].verdict.sentence
    assert f"since {who} stood still at a lock ({__file__}, line " in sentence
    assert "watch my against a dump of golden" in sentence
    _wait_until(lambda: not _hooks(golden))
    assert not _hooks(my)


def test_the_model_may_run_while_the_script_holds_the_lock() -> None:
    golden, my = Holding("ab", "rlock"), Holding("ab", "rlock")
    with LOCKS["rlock"], watch(my=my, golden=golden) as watched:
        my(X)
    assert not watched.result.passed
    _wait_until(lambda: not _hooks(golden))  # golden went no further when it got the lock


class Cached(torch.nn.Module):
    """Calls a module for a cached property."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    @functools.cached_property
    def table(self) -> torch.Tensor:
        found: torch.Tensor = self.inner(torch.ones(8))
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.outer(x + self.table)
        return y


def test_a_cached_property_that_calls_a_module() -> None:
    golden, my = Cached(), Cached()
    with watch(my=my, golden=golden) as watched:
        my(X)
    has_lock = sys.version_info < (3, 12)
    assert watched.result.passed is not has_lock
    if has_lock:
        sentence = watched.result.rows[0].verdict.sentence
        assert f"golden stood still at a lock ({__file__}, line " in sentence


class Slow(torch.nn.Module):
    """Takes its time over a product of matrices."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.seconds = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8), seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.a(x)
        if self.seconds:
            torch.linalg.multi_dot([torch.eye(1000)] * _times(self.seconds))
        z: torch.Tensor = self.b(y)
        return z


def _times(seconds: float) -> int:
    """So many products take as long, in one call."""
    began = time.perf_counter()
    torch.linalg.multi_dot([torch.eye(1000)] * 5)
    return max(3, round(seconds / (time.perf_counter() - began) * 4))


@pytest.mark.parametrize("side", ["golden", "my"])
def test_a_slow_module_is_waited_for(side: str) -> None:
    golden, my = Slow(2.0 * (side == "golden")), Slow(2.0 * (side == "my"))
    with watch(my=my, golden=golden) as watched:
        my(X)
    assert watched.result.passed


def test_a_lock_is_waited_for_while_somebody_computes() -> None:
    """Who holds it will let it go."""
    golden, my = Holding("b"), Holding("")
    has_it = threading.Event()

    def compute() -> None:
        with LOCKS["lock"]:
            has_it.set()
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                pass

    thread = threading.Thread(target=compute)
    thread.start()
    assert has_it.wait(20)
    with watch(my=my, golden=golden) as watched:
        my(X)
    thread.join()
    assert watched.result.passed


def test_an_event_is_no_lock() -> None:
    """My waits for something else, as in a debugger, while golden waits for my."""
    golden, my = Holding("ab"), Holding("")

    def wait(*_: object) -> None:
        threading.Event().wait(2.0)

    my.a.register_forward_hook(wait)
    with watch(my=my, golden=golden) as watched:
        my(X)
    assert watched.result.passed


def _sleep(*_: object) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("where", ["golden sleeps", "golden wants it", "my wants it"])
def test_the_script_may_be_interrupted(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "PATIENCE", 60)
    golden = Holding("b" if where == "golden wants it" else "")
    my = Holding("b" if where == "my wants it" else "")
    if where == "golden sleeps":
        golden.a.register_forward_hook(_sleep)
    main = threading.main_thread().ident
    assert main == threading.get_ident()
    # Anew, since something that pytest imports makes locks wait on when a signal comes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(2.0, lambda: signal.pthread_kill(main, signal.SIGINT))
    began = time.monotonic()
    timer.start()
    with LOCKS["lock"], pytest.raises(KeyboardInterrupt), watch(my=my, golden=golden):
        my(X)
    assert time.monotonic() - began < 20
    golden.a._forward_hooks.clear()
    timer.join()


def test_a_model_is_copied_while_it_is_watched() -> None:
    golden, my = Holding(""), Holding("")
    with watch(my=my, golden=golden) as watched:
        my(X)
        for model in (golden, my):
            assert torch.equal(copy.deepcopy(model)(X), model(X))
    assert watched.result.passed
