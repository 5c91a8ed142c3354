"""Run a command as if it had been typed: same terminal, signals and exit status."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["run_command", "split_command"]

# The terminal sends these to the command as well; it gets the others from us.
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def split_command(text: str, option: str = "--exec") -> list[str]:
    """`text` as a shell splits it into arguments. Raises UsageError, naming the option."""
    try:
        arguments = shlex.split(text)
    except ValueError as exc:
        raise UsageError(f"{option} cannot be split into arguments: {exc}") from exc
    if not arguments:
        raise UsageError(f'{option} is empty; write the command to run: {option} "python main.py"')
    return arguments


def run_command(
    arguments: list[str],
    environ: Mapping[str, str],
    heard: Mapping[int, Callable[[], None]] = MappingProxyType({}),
    option: str = "--exec",
) -> int:
    """Run it in `environ`, wait for it, and return its status; 128 + N where signal N ended it.
    Signals that are `heard` are not passed on.

    Raises UsageError where there is no such command, naming the option that it was given by.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _: object) -> None:
        if number in heard:
            heard[number]()
        elif child is None:
            early.append(number)
        else:
            child.send_signal(number)

    with _handlers(forward):
        try:
            child = subprocess.Popen(arguments, env=environ)  # noqa: S603 - the user's command
        except OSError as exc:
            raise UsageError(f"{option} cannot run {arguments[0]!r}: {os_reason(exc)}") from exc
        except ValueError as exc:
            raise UsageError(f"{option} cannot run {arguments[0]!r}: {exc}") from exc
        for number in early:
            child.send_signal(number)
        status = child.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _handlers(forward: signal.Handlers | object) -> Iterator[None]:
    """While the command runs, signals end it, not us: there is its dump to report."""
    previous = {}
    try:
        # Handlers, since the command would inherit what is ignored; what is ignored now
        # (nohup) stays so.
        for number in (*_FROM_TERMINAL, *_FORWARDED):
            if signal.getsignal(number) is not signal.SIG_IGN:
                action = forward if number in _FORWARDED else lambda *_: None
                previous[number] = signal.signal(number, action)  # type: ignore[arg-type]
        yield
    finally:
        for number, action in previous.items():
            signal.signal(number, action)
