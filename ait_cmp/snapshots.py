"""Snapshot tests of a model's numerics: what its modules give back, held to a golden file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ait_cmp.api import compare_dumps
from ait_cmp.commands.fingerprint import write_fingerprints
from ait_cmp.dump.dump_request import OUTPUTS
from ait_cmp.dump.hooks import dump_modules
from ait_cmp.dump_tree import FINGERPRINTS, is_fingerprint_file
from ait_cmp.judging import Status
from ait_cmp.judging.comparison import Row
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.pytest_plugin import UPDATE
from ait_cmp.results import RunComparison
from ait_cmp.settings.keywords import PathLike, ToleranceLike
from ait_cmp.values.errors import UsageError

__all__ = ["assert_matches"]

_SHOWN = 5  # rows of an assertion


def assert_matches(
    model: torch.nn.Module,
    inputs: Any,
    *,
    golden: PathLike,
    tolerance: ToleranceLike = "dtype",
    update: bool | None = None,
) -> RunComparison:
    """Assert that all modules of `model` give back on `inputs` what the file `golden` has of them.

    `inputs` are one tensor, a tuple or list of arguments, or a mapping of named ones; the model is
    called once, without gradients. `golden` is a file of fingerprints, X.fp.safetensors, which
    belongs in the repository; it is written, and nothing asserted, with `update`, or where that is
    None with pytest's `--update-golden`, or AIT_CMP_UPDATE_GOLDEN=1 in the environment. What
    differs by no more than rounding matches, as `tolerance` judges it.

    Raises AssertionError, with the first module that differs, where the model does not match;
    UsageError where there is no such file.
    """
    path = Path(os.fspath(golden))
    if not is_fingerprint_file(path.name):
        raise UsageError(f"golden={path} must be a file of fingerprints: golden=X{FINGERPRINTS}")
    with tempfile.TemporaryDirectory(prefix="ait_cmp") as folder:
        my = Path(folder, f"my{FINGERPRINTS}")
        _write(model, inputs, my)
        if os.environ.get(UPDATE) == "1" if update is None else update:
            write_fingerprints(list_dump("golden", str(my)).ranks, path)
        if not path.exists():
            raise UsageError(
                f"{path} is not there; write it with pytest --update-golden, or update=True, and "
                "commit it"
            )
        found = compare_dumps(
            golden_path=path, my_path=my, tolerance=tolerance, diagnosis_rows=0, executor="serial"
        )
    if not found.passed:
        raise AssertionError(_sentence(type(model).__name__, path, found))
    return found


def _write(model: torch.nn.Module, inputs: Any, path: Path) -> None:
    """The fingerprints of one call, the same however often and wherever it is made."""
    called = path.with_name(f"called{FINGERPRINTS}")
    with torch.no_grad(), dump_modules(model, called, fingerprint=True, save_tensor_part=OUTPUTS):
        if isinstance(inputs, Mapping):
            model(**inputs)
        elif isinstance(inputs, tuple | list):
            model(*inputs)
        else:
            model(inputs)
    ranks = list_dump("model", str(called)).ranks if called.exists() else []
    if all(one.error for rank in ranks for one in rank.tensors):
        raise UsageError(
            f"{type(model).__name__} gave back no tensor that has a fingerprint, so nothing "
            "can be asserted of it; call one whose modules hooks see and give back plain tensors"
        )
    write_fingerprints([replace(rank, name="", record=None, rank=None) for rank in ranks], path)


def _sentence(model: str, golden: Path, found: RunComparison) -> str:
    """What differs, and what to do."""
    if not found.rows or all(row.verdict.status is Status.SKIPPED for row in found.rows):
        return (
            f"{model} gave back nothing that is compared with {golden}: its tensors are empty, or "
            "cannot be judged; call it on other inputs"
        )
    wrong = [row for row in found.rows if row.verdict.status in (Status.FAIL, Status.ERROR)]
    first = found.first_divergence
    lines = [f"{model} does not match {golden}: {len(wrong)} of {len(found.rows)} tensors"]
    if first and first.verdict.divergence:
        lines.append(first.verdict.divergence)
    lines += [_line(row) for row in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        lines.append(f"… and {len(wrong) - _SHOWN} more")
    lines.append("where this is meant, write the file anew: pytest --update-golden")
    return "\n".join(lines)


def _line(row: Row) -> str:
    return f"{row.pair.data_id}: {row.verdict.status} ({row.verdict.reason}) {row.verdict.sentence}"
