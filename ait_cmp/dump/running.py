"""The Python stack of a module call: what of it still runs, and whose forward it is inside of."""

from __future__ import annotations

from collections.abc import Collection
from types import FrameType
from typing import NamedTuple

import torch

__all__ = ["Forward", "enclosing_forward", "frames_to", "is_recomputed", "is_running"]

# The frames in which torch runs a module: `_call_impl`, and in newer versions its `inner`.
_CALLS_MODULES = torch.nn.Module._call_impl.__code__.co_filename


class Forward(NamedTuple):
    """A module's `forward` that runs and whose start no hook saw: it was not called by way of the
    module, or the hooks were put meanwhile."""

    module: torch.nn.Module
    depth: int
    frame: FrameType
    was_called: bool


def frames_to(frame: FrameType | None) -> list[FrameType]:
    """The Python stack down to `frame`, outermost first."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def is_running(depth: int, frame: FrameType | None, frames: list[FrameType]) -> bool:
    """Whether a call is above the innermost of `frames`: that of `frame` itself, or where that is
    not known, one by way of a module at this depth.

    An exception, Ctrl-C included, ends a call without a word. If its frame is gone, either the
    stack is shorter by now or another function stands at its depth: were that a module again,
    its own start would have ended this call.
    """
    if depth >= len(frames) - 1:
        return False
    if frame is not None:
        return frames[depth] is frame
    return frames[depth].f_code.co_filename == _CALLS_MODULES


def is_recomputed() -> bool:
    """Whether what runs now is called by a backward pass, which computes anew what a checkpoint did
    not keep, and no more of it than it needs."""
    return torch._C._current_graph_task_id() != -1


def enclosing_forward(
    module: torch.nn.Module, frames: list[FrameType], watched: Collection[int] | None
) -> Forward | None:
    """The outermost `forward` that runs of a module around `module`, of those `watched` by id."""
    for depth, frame in enumerate(frames[:-1]):
        if frame.f_code.co_name != "forward" or not frame.f_code.co_argcount:
            continue
        around = frame.f_locals.get(frame.f_code.co_varnames[0])
        if (
            isinstance(around, torch.nn.Module)
            and around is not module
            and (watched is None or id(around) in watched)
            and any(each is module for each in around.modules())
        ):
            by_torch = depth > 0 and frames[depth - 1].f_code.co_filename == _CALLS_MODULES
            return Forward(around, depth, frame, by_torch)
    return None
