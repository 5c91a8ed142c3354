"""Find the tensor that went wrong: dump, map, compare and judge model tensors."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ait_cmp.api import compare, compare_dumps
    from ait_cmp.dump.bin_file import write_bin
    from ait_cmp.dump.data import dump_data
    from ait_cmp.dump.hooks import dump_modules
    from ait_cmp.judging import Growth, Limit, Rule, Tolerance
    from ait_cmp.judging.comparison import Comparison
    from ait_cmp.live import Watched, watch
    from ait_cmp.results import RunComparison, load
    from ait_cmp.snapshots import assert_matches
    from ait_cmp.values.errors import AitCmpError, PairError, Reason, ReportError, UsageError

__version__ = "0.1.0"

# Imported on first use: a model script that only dumps should pay for nothing else.
_HOMES = {
    "AitCmpError": "values.errors",
    "Comparison": "judging.comparison",
    "Growth": "judging",
    "Limit": "judging",
    "PairError": "values.errors",
    "Reason": "values.errors",
    "ReportError": "values.errors",
    "Rule": "judging",
    "RunComparison": "results",
    "Tolerance": "judging",
    "UsageError": "values.errors",
    "Watched": "live",
    "assert_matches": "snapshots",
    "compare": "api",
    "compare_dumps": "api",
    "dump_data": "dump.data",
    "dump_modules": "dump.hooks",
    "isolate": "api",
    "load": "results",
    "watch": "live",
    "write_bin": "dump.bin_file",
}

__all__ = [
    "AitCmpError",
    "Comparison",
    "Growth",
    "Limit",
    "PairError",
    "Reason",
    "ReportError",
    "Rule",
    "RunComparison",
    "Tolerance",
    "UsageError",
    "Watched",
    "assert_matches",
    "compare",
    "compare_dumps",
    "dump_data",
    "dump_modules",
    "isolate",
    "load",
    "watch",
    "write_bin",
]


def _refuse(system: str) -> None:
    sentence = f"ait_cmp runs on Linux, not on {system!r}: use a Linux machine or container"
    if os.path.splitext(os.path.basename(sys.argv[0]))[0] in {"-m", "ait", "ait-cmp"}:
        print(sentence, file=sys.stderr)  # a command ends with a sentence, not with a traceback
        raise SystemExit(2)
    raise ImportError(sentence, name=__name__)


if (_system := sys.platform) != "linux":  # named, since mypy takes what follows as unreachable
    _refuse(_system)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
