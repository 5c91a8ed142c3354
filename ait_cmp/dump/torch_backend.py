"""Backend `torch`: module hooks in every Python process of an unmodified script."""

from __future__ import annotations

from collections.abc import Mapping

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.injection import REQUEST, python_path
from ait_cmp.values.errors import UsageError

__all__ = ["TYPES", "variables"]

TYPES = frozenset({"model", "layer", "tensor", "grad", "weight", "optimizer"})


def variables(request: DumpRequest, environ: Mapping[str, str]) -> dict[str, str | None]:
    """What makes a Python process hook its modules. Raises UsageError for what it cannot do."""
    if request.save_tiling:
        raise UsageError(
            "--save-tiling asks for the library's tiling data, which backend torch does not have; "
            "leave it out"
        )
    if not request.after and not request.inputs:
        raise UsageError(
            "--save-time 0 with --save-tensor-part 1 asks for outputs before there are any; "
            "take --save-time 1"
        )
    return {"PYTHONPATH": python_path(environ), REQUEST: request.to_json()}
