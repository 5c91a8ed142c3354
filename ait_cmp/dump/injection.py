"""How the Python processes of a dumped script, and theirs, come to run our start-up code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ait_cmp.dump.dump_request import DumpRequest

__all__ = ["ISOLATE", "REQUEST", "hook_modules", "python_path"]

REQUEST = "AIT_CMP_DUMP"  # the variable that carries a request for module hooks
ISOLATE = "AIT_CMP_ISOLATE"  # and that for calls of modules, one by one
_INJECTED = Path(__file__).resolve().parent / "injected"


def python_path(environ: Mapping[str, str]) -> str:
    """PYTHONPATH with the folder of our sitecustomize first."""
    before = environ.get("PYTHONPATH", "")
    # An empty entry would mean the current folder.
    return f"{_INJECTED}{os.pathsep}{before}" if before else str(_INJECTED)


def hook_modules() -> None:
    """Hook the modules of this process, which has just imported torch, if that is asked for."""
    request = os.environ.get(REQUEST)
    if request is not None:
        from ait_cmp.dump.hooks import watch_process

        watch_process(DumpRequest.from_json(request))
    task = os.environ.get(ISOLATE)
    if task is not None:
        from ait_cmp.isolating.in_process import isolate_process

        isolate_process(task)
