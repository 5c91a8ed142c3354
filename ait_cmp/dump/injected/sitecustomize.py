"""Runs at the start of every Python process below `ait llm dump`, whichever Python that is.

The folder of this file stands first in PYTHONPATH. This takes it off `sys.path`, so that it
hides nothing; lets ait_cmp, and the original's `dump_data`, be imported; has modules hooked once
torch is imported, if it ever is; and hands over to the sitecustomize that would have run.
It is kept to what an older Python understands too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(HERE))


def torch_is_imported() -> None:
    """Have modules hooked. What fails is said, and the script goes on."""
    try:
        if sys.version_info < (3, 11):  # noqa: UP036 - of the script, not ours
            raise RuntimeError("its Python is older than 3.11")
        from ait_cmp.dump.injection import hook_modules

        hook_modules()
    except Exception as exc:
        print(f"ait_cmp: process {os.getpid()} is not dumped: {exc}", file=sys.stderr)


class Finder:
    """Finds ait_cmp where this file is, and calls `torch_is_imported` when it is.

    It is gone from `sys.meta_path` once both were imported.
    """

    def __init__(self) -> None:
        self.waiting = {"ait_cmp", "torch"}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.waiting:
            return None
        if name == "ait_cmp":
            self.served(name)
            return spec_from_file_location(
                name, os.path.join(PACKAGE, "__init__.py"), submodule_search_locations=[PACKAGE]
            )
        self.waiting.remove(name)  # the others are asked
        try:
            spec = find_spec(name)
        finally:
            self.waiting.add(name)
        self.watch(spec)
        return spec

    def watch(self, spec: ModuleSpec | None) -> None:
        """Have the loader of torch tell when it is done; an import that fails may come again."""
        loader = spec.loader if spec else None
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # type: ignore[union-attr]
            execute(module)
            self.served("torch")
            torch_is_imported()

        loader.exec_module = exec_module  # type: ignore[union-attr, method-assign]

    def served(self, name: str) -> None:
        self.waiting.discard(name)
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


def run_own_sitecustomize() -> None:
    """Import the sitecustomize that this one stands before, if there is one."""
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import_module("sitecustomize")
    except ImportError as exc:
        if exc.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


sys.path[:] = [entry for entry in sys.path if entry != HERE]
# Last, and without __init__.py in it: a real `llm` or `ait_llm` of the script's wins.
sys.path.append(os.path.join(HERE, "shims"))
if "torch" in sys.modules:
    torch_is_imported()
else:
    sys.meta_path.insert(0, Finder())
run_own_sitecustomize()
