"""The tolerances of drawn runs, and whether one claims to see a change, told apart from ait_cmp."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.testing._comparison import default_tolerances

from drawn.plan import FLOATS, Key, Plan

__all__ = ["claims", "write_tolerance"]

_EXEMPT = {"max_relative_error": {"max": 1e30}}
_COSINE = 0.99
_SHARE = 0.3  # of golden's own size: what an error may be where a limit is drawn
_ABSOLUTE = ("max_absolute_error", "mean_absolute_error", "rmse")
_BLATANT = 0.6  # and what that of a fault is, at least


def write_tolerance(plan: Plan, conf: Path, golden: Mapping[Key, torch.Tensor]) -> str:
    """What to set `tolerance` to: a shipped name, or a file of limits that is written to `conf`."""
    conf.mkdir(parents=True, exist_ok=True)
    if plan.tolerance in ("dtype", "int8", "ascend", "assert_close", "strict"):
        return plan.tolerance
    content: dict[str, object] = {"name": "drawn", "nonfinite": "alike"}
    if plan.tolerance == "one exempt":
        names = [spec.name for spec in plan.specs[1:]][:1] or ["none"]
        globs = ["".join(f"[{char}]" for char in name) + "*" for name in names]
        rule = {"data_ids": globs, "limits": _EXEMPT, "growth": False}
        content |= {"growth": {}, "rules": [rule]}
    else:
        content["default"] = _limits(plan, golden)
    path = conf / "tolerance" / "drawn.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def _limits(plan: Plan, golden: Mapping[Key, torch.Tensor]) -> dict[str, dict[str, float]]:
    """Each limit lets pass what is small beside the smallest tensor of the run."""
    sizes = [_rms(one.double().numpy()) for one in golden.values() if one.numel()]
    size = min((one for one in sizes if one > 0 and math.isfinite(one)), default=1.0)
    found: dict[str, dict[str, float]] = {}
    for name in plan.tolerance.split(" + "):
        match name:
            case "cosine_similarity":
                found[name] = {"min": _COSINE}
            case _ if name in _ABSOLUTE:
                found[name] = {"max": _SHARE * size}
            case "mismatch_ratio":
                found[name] = {"max": 0.0}
            case _:
                found[name] = {"max": _SHARE}
    return found


def _rms(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    top = float(np.abs(values).max(initial=0.0))
    if not 0 < top < math.inf:
        return top
    return top * float(np.sqrt(np.mean((values / top) ** 2)))


def claims(plan: Plan, golden: torch.Tensor, my: torch.Tensor) -> bool:
    """Whether my is blatantly another tensor than golden, and the tolerance says of such a
    change that it does not pass."""
    g, m = golden.double().numpy().reshape(-1), my.double().numpy().reshape(-1)
    if not np.isfinite(m).all():
        return bool(np.isfinite(g).all())
    floating = str(golden.dtype).removeprefix("torch.") in FLOATS
    if plan.tolerance == "strict" or (plan.tolerance in _GROWTH and not floating):
        return bool((g != m).any())
    top = max(float(np.abs(g).max()), float(np.abs(m).max()))
    if top == 0.0 or _rms((m - g) / top) < _BLATANT * _rms(g / top):
        return False
    limited = plan.tolerance.split(" + ")
    if plan.tolerance == "ascend":
        limited = ["cosine_similarity"] if floating else ["mismatch_ratio"]
    elif plan.tolerance == "assert_close":
        limited = ["mismatch_ratio"]
    elif plan.tolerance in _GROWTH:
        return True
    return any(_exceeds(name, golden, my, top) for name in limited)


def _exceeds(name: str, golden: torch.Tensor, my: torch.Tensor, top: float) -> bool:
    """Whether a metric is far outside the limit that was drawn for it, which, of absolute errors,
    is of the smallest tensor that is not zero: it says nothing of those that are."""
    g, m = golden.double().numpy().reshape(-1) / top, my.double().numpy().reshape(-1) / top
    d = np.abs(m - g)
    if name in _ABSOLUTE and not g.any():
        return False
    match name:
        case "cosine_similarity":
            norms = _rms(g) * _rms(m) * len(g)
            return not norms or float(g @ m) / norms < 0.95 * _COSINE
        case "mean_absolute_error":
            return float(d.mean()) > 1.5 * _SHARE * _rms(g)
        case "mean_relative_error":
            above = np.abs(g) * top > 2.0**-23
            return not above.any() or float((d[above] / np.abs(g[above])).mean()) > 1.5 * _SHARE
        case "mismatch_ratio":
            rtol, atol = default_tolerances(golden, my)
            return bool((d * top > 2 * (atol + rtol * np.abs(g) * top)).any())
    return True  # the others are of the error's own size, which is that of golden


_GROWTH = ("dtype", "int8", "one exempt")
