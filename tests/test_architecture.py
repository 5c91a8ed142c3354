"""What keeps the rooms apart and the code readable, beyond the layers of pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ait_cmp"

# Each of these libraries is known in one room: elsewhere nobody depends on what it calls things.
ROOMS = {
    "hydra": "settings",
    "omegaconf": "settings",
    "polars": "report",
    "rich": "report",
    "xlsxwriter": "report",
    "jinja2": "report",
    "numba": "engine/kernel",
    "llvmlite": "engine/kernel",
    "pebble": "measuring/executor",
    "fsspec": "files/stores",
    "ray": "measuring/executor",
    "submitit": "settings",
}

# What opens, lists or asks for files; `files` alone does, where the names come from users.
DISK = {
    *("open", "os.open", "os.stat", "os.lstat", "os.scandir", "os.listdir", "os.walk"),
    *(f"os.path.{name}" for name in ("exists", "isfile", "isdir", "islink", "getsize", "realpath")),
}
PATH_METHODS = {"read_text", "read_bytes", "iterdir", "glob", "rglob", "stat", "lstat", "resolve"}
READING = ("mapping", "source", "judging", "values", "dump_tree.py", "atb.py", "tensors.py")

# The only functions of more than 50 lines, each with the reason why it is not split.
LONG = {
    "engine/kernel/loops/narrow.py add_narrow": "the loop over blocks, whose arrays it shares",
    "engine/kernel/loops/narrow.py _add_pairs": "one block's sums, which share a dozen locals",
    "engine/kernel/loops/wide.py add_wide": "the loop over blocks, whose arrays it shares",
}


def sources(*folders: str) -> list[Path]:
    """All Python files of these folders of the checkout."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> frozenset[str]:
    """The outermost package of every import of a file, also of those inside functions."""
    found = set[str]()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_imported_in_its_room_alone(library: str) -> None:
    users = [path for path in sources("ait_cmp") if library in imported(path)]
    assert users, f"nothing imports {library}: take it out of ROOMS"
    outside = {path for path in users if PACKAGE / ROOMS[library] not in path.parents}
    assert {str(path.relative_to(PACKAGE)) for path in outside} == set()


@pytest.mark.parametrize("statement", ["import ait_cmp", "from ait_cmp import dump_data"])
def test_a_model_script_imports_no_library_of_ours(statement: str) -> None:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    run = [sys.executable, "-c", code]
    modules = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout
    assert not {*ROOMS} & set(modules.split())


def test_tensors_mappings_and_dumps_are_read_through_files_alone() -> None:
    calls = {
        (str(path.relative_to(PACKAGE)), ast.unparse(node.func))
        for path in sources("ait_cmp")
        if path.relative_to(PACKAGE).parts[0] in READING
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
    }
    assert {
        (path, name)
        for path, name in calls
        if name in DISK or ("." in name and name.rpartition(".")[2] in PATH_METHODS)
    } == set()


def test_paths_may_be_of_a_bucket() -> None:
    """`os.path` would make one of the two slashes of s3://; `values.paths` knows both."""
    of_disks = {f"os.path.{name}" for name in ("abspath", "commonpath", "isabs", "normpath")}
    assert {
        (str(path.relative_to(PACKAGE)), ast.unparse(node))
        for path in sources("ait_cmp")
        if path.relative_to(PACKAGE).parts[0] in ("mapping", "source", "report")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in of_disks
    } == set()


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(PACKAGE if PACKAGE in path.parents else ROOT)} {node.name}"
        for path in sources("ait_cmp", "scripts", "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    }
    assert long == set(LONG)


def test_no_module_has_the_name_of_a_public_function() -> None:
    """`from package import name` would give one or the other, by what was imported before."""
    both = {
        f"{init.parent.relative_to(ROOT)} {name}"
        for init in PACKAGE.rglob("__init__.py")
        for name in public(init)
        if (init.parent / name).is_dir() or init.with_name(f"{name}.py").exists()
    }
    assert not both


def public(path: Path) -> list[str]:
    """What a file's `__all__` lists."""
    for node in parsed(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []
