"""What of a thread's state a call depends on, carried over to another thread."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils._device import DeviceContext

from ait_cmp.watching.arguments import Home

__all__ = ["in_this_state"]


def in_this_state(call: Callable[[], Any], *, golden: Home, my: Home) -> Callable[[], Any]:
    """`call`, without gradients, with the context variables and in the state of torch that this
    thread has now; where tensors are made where my is, they are made where golden is."""
    context = contextvars.copy_context()
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    kinds = [kind for kind in ("cpu", "cuda", "npu", "xpu") if _is_autocast(kind)]
    casts = [(kind, torch.get_autocast_dtype(kind)) for kind in kinds]
    uses_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    streams = [torch.cuda.current_stream()] if uses_cuda else []
    devices = [_moved(one, golden, my) for one in _default_devices()]

    def run() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode() if inference else torch.no_grad())
            for kind, dtype in casts:
                stack.enter_context(torch.autocast(kind, dtype))
            for stream in streams:
                stack.enter_context(_on(stream))
            for device in devices:
                stack.enter_context(_made_on(device))
            return call()

    return lambda: context.run(run)


@contextmanager
def _on(stream: torch.cuda.Stream) -> Iterator[None]:
    with torch.cuda.device(stream.device), torch.cuda.stream(stream):
        yield


def _is_autocast(kind: str) -> bool:
    try:
        return torch.is_autocast_enabled(kind)
    except RuntimeError:  # no such device in this build
        return False


def _default_devices() -> list[torch.device]:
    """Where tensors are made of which nothing is said; none where that was not chosen. Other modes
    of functions are the script's own: they would count or record golden's as well."""
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return [mode.device for mode in modes if isinstance(mode, DeviceContext)]


def _moved(device: torch.device, golden: Home, my: Home) -> torch.device:
    if my.device is None or golden.device is None or my.device.type != device.type:
        return device
    return golden.device if device.index in (None, my.device.index) else device


@contextmanager
def _made_on(device: torch.device) -> Iterator[None]:
    # Not by `with device`, which also sets what all threads have.
    _push_mode(DeviceContext(device))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        _pop_mode()  # type: ignore[no-untyped-call]
