"""Golden, run in a thread of its own but never at the same time as my: one of both always waits.

So golden's tensors are looked at the moment they appear, and no more of them is held than my asks
for later; and both draw their own random numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch

from ait_cmp.dump.hooks import Hook
from ait_cmp.watching.outputs import Key
from ait_cmp.watching.random_state import RandomState
from ait_cmp.watching.standstill import LOOK, PATIENCE, Standstill, raise_in, wants_lock

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
    """Runs one call of golden at a time, as far as it is asked to.

    Where a lock that both want lets neither go on, `given_up` says so, and golden is not run any
    more: what it would give next is not what it would have given, without this call.
    """

    def __init__(self, golden: torch.nn.Module) -> None:
        self._golden = golden
        self._turn = threading.Condition()
        self._is_goldens = False  # the turn
        self._thread: threading.Thread | None = None
        self._asking = threading.current_thread()
        self._call: Callable[[], Any] | None = None
        self._leaving = False
        self._appeared: Appeared | None = None
        self._random: RandomState | None = None
        self.given_up = ""
        self.output: Any = None
        self.error: BaseException | None = None

    @property
    def is_running(self) -> bool:
        """Whether a call has begun and not ended."""
        return self._call is not None and not self.given_up

    def start(self, call: Callable[[], Any]) -> None:
        """Let the next steps be those of `call`, which draws the numbers that my is about to."""
        self.stop()
        self._hide()
        self._random = RandomState.now()
        self._call = call
        self.output = self.error = None

    def step(self) -> Appeared | None:
        """What appears next in golden; None where its call ended."""
        if not self.is_running:
            return None
        mine = RandomState.now()
        if self._random:
            self._random.restore()
        try:
            self._resume()
        finally:
            self._random = RandomState.now()
            mine.restore()
        return None if self.given_up else self._appeared

    def show(self, appeared: Appeared) -> None:
        """In golden's thread: wait until my asks for the next; of any other thread, nothing."""
        if not self.is_here():
            return
        self.leave()
        with self._turn:
            self._appeared = appeared
            self._pass_on()
            self._await_turn(Standstill(self._asking))
            self._appeared = None
        self.leave()

    def leave(self, *_: object) -> None:
        """In golden's thread: go no further, where nobody asks any more."""
        if self.is_here() and (self._leaving or self.given_up):
            raise _LeaveError

    def stop(self) -> None:
        """Leave the call that goes on, if one does."""
        self._leaving = True
        while self.is_running and self._thread:  # a model may catch what makes it leave
            self._resume()
        self._leaving, self._call = False, None

    def close(self) -> None:
        """Run nothing any more."""
        self.stop()
        if self._thread:
            with self._turn:
                self._is_goldens = True
                self._turn.notify_all()
            self._thread.join(LOOK if self.given_up else None)

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
        """Wait until golden stops, or stands still."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ait_cmp golden", daemon=True)
            self._thread.start()
        standstill = Standstill(self._thread)
        with self._turn:
            if self.given_up:
                return
            self._asking, self._is_goldens = threading.current_thread(), True
            self._turn.notify_all()
            try:
                while self._is_goldens and not self.given_up:
                    if not self._turn.wait(LOOK) and (where := standstill.where()):
                        self._give_up("golden", where)
            except BaseException:
                self._interrupt()
                raise

    def _interrupt(self) -> None:
        """My waits no more: golden ends as soon as what it computes now is there."""
        self.given_up = "the script was interrupted while golden ran, which was given up"
        assert self._thread
        if not wants_lock(self._thread):  # else it might keep it for ever
            raise_in(self._thread, _LeaveError)
            self._turn.wait_for(lambda: not self._is_goldens, PATIENCE)

    def _pass_on(self) -> None:
        self._is_goldens = False
        self._turn.notify_all()

    def _await_turn(self, standstill: Standstill | None = None) -> None:
        """In golden's thread: wait until my asks, or stands still."""
        while not (self._is_goldens or self.given_up):
            if not self._turn.wait(LOOK) and standstill and (where := standstill.where()):
                self._give_up("my", where)

    def _give_up(self, side: str, where: str) -> None:
        other = "my" if side == "golden" else "golden"
        self.given_up = (
            f"{side} stood still at a lock ({where}), which {other} may hold, and golden was given "
            "up: watch my against a dump of golden, or its fingerprints"
        )

    def _run(self) -> None:
        """Golden's thread."""
        handles = [
            module.register_forward_pre_hook(Hook(self.leave), prepend=True)
            for module in self._golden.modules()
            if not isinstance(module, torch.jit.ScriptModule)  # which takes no hooks
        ]
        try:
            with suppress(_LeaveError):
                while call := self._next_call():
                    self._finish(call)
        finally:
            for handle in handles:
                handle.remove()
            self._unhide()

    def _next_call(self) -> Callable[[], Any] | None:
        with self._turn:
            self._await_turn()
            return None if self.given_up else self._call

    def _finish(self, call: Callable[[], Any]) -> None:
        output, error = None, None
        try:
            output = call()
        except _LeaveError:
            pass
        except BaseException as exc:
            error = exc
        with self._turn:
            self.output, self.error = output, error
            self._appeared = self._call = None
            self._pass_on()

    def _unhide(self) -> None:
        for hooks in _OF_PROCESS:
            for key, hook in hooks.items():
                if isinstance(hook, _Apart) and hook.twin is self:
                    hooks[key] = hook.hook


class _Apart(NamedTuple):
    """A hook of the script's that hears of no call of golden."""

    twin: Twin
    hook: Callable[..., Any]

    def __call__(self, *given: Any, **named: Any) -> Any:
        return None if self.twin.is_here() else self.hook(*given, **named)
