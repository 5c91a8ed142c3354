"""Golden, run in a thread of its own but never at the same time as my: one of both always waits.

So golden's tensors are looked at the moment they appear, and no more of them is held than my asks
for later; and both draw their own random numbers.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from ait_cmp.watching.outputs import Key
from ait_cmp.watching.random_state import RandomState

__all__ = ["Appeared", "Twin"]


_OF_PROCESS: tuple[dict[int, Any], ...] = (
    torch.nn.modules.module._global_forward_pre_hooks,
    torch.nn.modules.module._global_forward_hooks,
)


class Appeared(NamedTuple):
    """A tensor of golden, by the key that my's has as well."""

    key: Key
    tensor: torch.Tensor


class _LeaveError(BaseException):
    """Golden need not go on; no model takes this for an error of its own."""


class Twin:
    """Runs one call of golden at a time, as far as it is asked to."""

    def __init__(self) -> None:
        self._go, self._ready = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._call: Callable[[], Any] | None = None
        self._leaving = False
        self._appeared: Appeared | None = None
        self._random: RandomState | None = None
        self.output: Any = None
        self.error: BaseException | None = None

    @property
    def is_running(self) -> bool:
        """Whether a call has begun and not ended."""
        return self._call is not None

    def start(self, call: Callable[[], Any]) -> None:
        """Let the next steps be those of `call`, which draws the numbers that my is about to."""
        self.stop()
        self._hide()
        self._random = RandomState.now()
        self._call = _in_this_state(call)
        self.output = self.error = None

    def step(self) -> Appeared | None:
        """What appears next in golden; None where its call ended."""
        if not self.is_running:
            return None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ait_cmp golden", daemon=True)
            self._thread.start()
        mine = RandomState.now()
        if self._random:
            self._random.restore()
        try:
            self._resume()
        finally:
            self._random = RandomState.now()
            mine.restore()
        return self._appeared

    def show(self, appeared: Appeared) -> None:
        """In golden's thread: wait until my asks for the next; of any other thread, nothing."""
        if not self.is_here():
            return
        self._appeared = appeared
        self._ready.release()
        self._go.acquire()
        self._appeared = None
        if self._leaving:
            raise _LeaveError

    def stop(self) -> None:
        """Leave the call that goes on, if one does."""
        if self.is_running and self._thread:
            self._leaving = True
            while self.is_running:  # a model may catch what makes it leave
                self._resume()
        self._leaving, self._call = False, None

    def close(self) -> None:
        """Run nothing any more."""
        self.stop()
        for hooks in _OF_PROCESS:
            for key, hook in hooks.items():
                if isinstance(hook, _Apart) and hook.twin is self:
                    hooks[key] = hook.hook
        if self._thread:
            self._go.release()
            self._thread.join()
            self._thread = None

    def is_here(self) -> bool:
        """Whether this is golden's thread."""
        return threading.current_thread() is self._thread

    def _hide(self) -> None:
        """Keep golden's calls from the hooks that the script has of all modules of the process."""
        for hooks in _OF_PROCESS:
            for key, hook in hooks.items():
                if not isinstance(hook, _Apart):
                    hooks[key] = _Apart(self, hook)

    def _resume(self) -> None:
        """Wait until golden stops, also where this wait is interrupted."""
        self._go.release()
        try:
            self._ready.acquire()
        except BaseException:
            self._ready.acquire()
            raise

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._call is None:
                return
            try:
                self.output = self._call()
            except _LeaveError:
                pass
            except BaseException as exc:
                self.error = exc
            self._appeared = self._call = None
            self._ready.release()


class _Apart(NamedTuple):
    """A hook of the script's that hears of no call of golden."""

    twin: Twin
    hook: Callable[..., Any]

    def __call__(self, *given: Any, **named: Any) -> Any:
        return None if self.twin.is_here() else self.hook(*given, **named)


def _in_this_state(call: Callable[[], Any]) -> Callable[[], Any]:
    """`call`, without gradients, in the state of torch that this thread has now, of which each
    thread has its own."""
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    kinds = [kind for kind in ("cpu", "cuda", "npu", "xpu") if _is_autocast(kind)]
    casts = [(kind, torch.get_autocast_dtype(kind)) for kind in kinds]
    uses_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    streams = [torch.cuda.current_stream()] if uses_cuda else []

    def run() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode() if inference else torch.no_grad())
            for kind, dtype in casts:
                stack.enter_context(torch.autocast(kind, dtype))
            for stream in streams:
                stack.enter_context(_on(stream))
            return call()

    return run


@contextmanager
def _on(stream: torch.cuda.Stream) -> Iterator[None]:
    with torch.cuda.device(stream.device), torch.cuda.stream(stream):
        yield


def _is_autocast(kind: str) -> bool:
    try:
        return torch.is_autocast_enabled(kind)
    except RuntimeError:  # no such device in this build
        return False
