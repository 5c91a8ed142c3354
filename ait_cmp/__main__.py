"""The entry of `python -m ait_cmp` and `ait-cmp`: light, since every worker process imports it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ait_cmp.values.interrupts import told_as_interrupts

__all__ = ["leave", "main", "run"]


def run(*command: str) -> NoReturn:
    """Be the process: run `command` with the process's arguments, and end with its status."""
    leave(main([*command, *sys.argv[1:]]))


def leave(status: int) -> NoReturn:
    """End the process with `status`, as it stands, whatever interrupts Python while it ends.

    An interrupt that came while a library ran `exec` of a text, as `dataclass` does, would have
    Python die by it at the end although we caught it; running another text makes it forget.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exec("")  # noqa: S102
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments `argv` (default: the process's); its exit status."""
    try:
        with told_as_interrupts():
            from ait_cmp.commands import main as command

            return command(argv)
    except KeyboardInterrupt:
        from ait_cmp.commands.say import complain
        from ait_cmp.commands.status import ExitStatus

        complain("interrupted")
        return ExitStatus.INTERRUPTED
    finally:
        from ait_cmp.commands.say import settle_stderr

        settle_stderr()


if __name__ == "__main__":
    run()
