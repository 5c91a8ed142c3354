"""The entry of `python -m ait_cmp` and `ait-cmp`: light, since every worker process imports it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments `argv` (default: the process's); its exit status."""
    try:
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
    sys.exit(main())
