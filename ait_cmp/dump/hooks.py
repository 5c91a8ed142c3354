"""Module hooks that dump what every `torch.nn.Module` is given and gives back.

`watch_process` hooks all modules of a process, `dump_modules` those of one model. The hooks do
nothing where torch compiles or traces a graph, so what runs compiled is seen from outside only.

What is saved of an output is what the caller gets. Of a module's hooks, torch runs global ones
first and its own in the order in which they were registered, so ours is moved behind all of them
each time that the module begins.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from ait_cmp.dump.casting import Casting
from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.recorder import Recorder
from ait_cmp.dump.unseen import REPLAYED
from ait_cmp.dump_tree import is_fingerprint_file

__all__ = ["Hook", "dump_modules", "recording", "watch", "watch_process"]


class _BeforeForward:
    """The hook that runs before a module, and sees to it that `after` runs last."""

    def __init__(
        self, recorder: Recorder, after: _AfterForward, casting: Casting | None = None
    ) -> None:
        self._recorder = recorder
        self._after = after
        self._casting = casting

    def __call__(
        self, module: torch.nn.Module, args: Any, kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """The arguments, where they are not those that the module was called with."""
        if torch.compiler.is_compiling():
            _tell_compiled()
            return None
        caller = sys._getframe(1)
        given = _keywords(caller, kwargs)
        changed = None
        if self._casting and not self._recorder.is_inside(caller):
            changed = args = self._casting.cast(module, args, given)
        try:
            self._after.come_last(module)
        except Exception as exc:
            self._recorder.warn(f"{type(module).__name__} takes no hook and is not seen ({exc})")
            return changed
        self._recorder.enter(module, (args, given), caller)
        return changed

    def __reduce__(self) -> tuple[Any, ...]:
        return _ignore_calls, ()  # a model that is pickled meanwhile takes no recorder along


class _AfterForward:
    """The hook that runs after a module: while one runs, the last of its own hooks.

    A module that is pickled, scripted or compiled between calls has no hook of ours.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._key = RemovableHandle(OrderedDict()).id  # as torch calls its hooks
        self._lock = threading.Lock()
        # Of the hooks of a module, which its replicas share: id -> threads that it runs in.
        self._running: dict[int, set[int]] = {}

    def __call__(
        self, module: torch.nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any
    ) -> None:
        if torch.compiler.is_compiling():
            return
        self._recorder.leave(module, (args, kwargs), output)
        if not self._recorder.is_running(module):
            self._go(module)

    def come_last(self, module: torch.nn.Module) -> None:
        """Be the last hook of a module that begins now."""
        hooks = module._forward_hooks
        with self._lock:
            self._running.setdefault(id(hooks), set()).add(threading.get_ident())
            module._forward_hooks_with_kwargs[self._key] = True
            if next(reversed(hooks), None) != self._key:
                hooks.pop(self._key, None)
                hooks[self._key] = self

    def _go(self, module: torch.nn.Module) -> None:
        """Be no hook of a module that runs in no thread any more."""
        with self._lock:
            hooks = id(module._forward_hooks)
            threads = self._running.get(hooks, set())
            threads.discard(threading.get_ident())
            if not threads:
                self._running.pop(hooks, None)
                self.leave(module)

    def leave(self, module: torch.nn.Module) -> None:
        """Be no hook of `module`, which may have kept it when an exception ended its call."""
        module._forward_hooks.pop(self._key, None)
        module._forward_hooks_with_kwargs.pop(self._key, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _ignore_calls, ()


def _keywords(caller: FrameType, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The keyword arguments, which torch shows to a module's own hooks but to no global one."""
    found = caller.f_locals.get("kwargs", {}) if given is None else given
    return found if isinstance(found, Mapping) else {}


# Those whose hooks are in place, which hear of what no hook sees.
_recorders: list[Recorder] = []


def _tell_compiled() -> None:
    """Torch calls this while it traces, and takes the answer for a constant."""
    for recorder in _recorders:
        recorder.tell_compiled()


_tell_compiled._dynamo_marked_constant = True  # type: ignore[attr-defined]


@contextmanager
def _heard(recorder: Recorder) -> Iterator[None]:
    """While this holds, `recorder` hears of graphs that are traced, and of those replayed."""
    graph = getattr(torch.cuda, "CUDAGraph", None)
    replay = getattr(graph, "replay", None)

    def tell_and_replay(*args: Any) -> Any:
        recorder.tell(REPLAYED)
        return replay(*args)  # type: ignore[misc]

    _recorders.append(recorder)
    if replay:
        graph.replay = tell_and_replay  # type: ignore[union-attr]
    try:
        yield
    finally:
        _recorders.remove(recorder)
        if replay:
            graph.replay = replay  # type: ignore[union-attr]


class _NoCalls:
    def __call__(self, *_: Any) -> None:
        return


def _ignore_calls() -> _NoCalls:
    return _NoCalls()


class Hook(functools.partial[Any]):
    """A hook that copies of its module do not have, pickled ones included."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _ignore_calls, ()


def watch_process(request: DumpRequest) -> None:
    """Dump every module that this process calls from now on."""
    name = "warning" if request.log_level == "warn" else request.log_level
    logging.getLogger("ait_cmp").setLevel(name.upper())
    if request.force_tokens:
        from ait_cmp.dump.forcing import force_tokens

        force_tokens(request.force_tokens)
    recorder = Recorder(request)
    atexit.register(recorder.close)
    watch(recorder, Casting(request.dtype, recorder.warn) if request.dtype else None)


def watch(recorder: Recorder, casting: Casting | None = None) -> None:
    """Tell `recorder` of every module that this process calls from now on."""
    _heard(recorder).__enter__()
    register_module_forward_pre_hook(_BeforeForward(recorder, _AfterForward(recorder), casting))


@contextmanager
def dump_modules(
    model: torch.nn.Module,
    output_path: str | os.PathLike[str] = "./",
    *,
    types: Sequence[str] = ("tensor",),
    only_save_desc: bool = False,
    save_operation_ids: Sequence[str] = (),
    execute_range: Sequence[tuple[int, int]] = ((0, 0),),
    save_operation_child: bool = True,
    save_time: int = 1,
    operation_name: Sequence[str] = (),
    save_tensor_part: int = 2,
    device_id: int | None = None,
    max_bytes: int | None = None,
    fingerprint: bool = False,
    switch: str | os.PathLike[str] | None = None,
) -> Iterator[Path]:
    """Dump what the modules of `model` are given and give back while the block runs.

    Yields the folder {output_path}/ait_dump. The filters are those of `ait llm dump`: see
    `DumpRequest`. Only modules that `model` has at the start are hooked, and no hook stays.
    With `fingerprint` the fingerprints of the tensors are kept and not the tensors;
    an `output_path` that ends with .fp.safetensors is then the file itself, and yielded. With a
    `switch` only calls count, and are dumped, that begin while a file of that name exists.

    Raises TypeError for a `model` that is no module, UsageError for filters that make no sense.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    output = os.path.abspath(output_path)
    request = DumpRequest(
        output=output,
        types=tuple(types),
        only_save_desc=only_save_desc,
        save_operation_ids=tuple(save_operation_ids),
        execute_range=tuple((first, last) for first, last in execute_range),
        save_operation_child=save_operation_child,
        save_time=save_time,
        operation_name=tuple(operation_name),
        save_tensor_part=save_tensor_part,
        device_id=device_id,
        max_bytes=max_bytes,
        fingerprint=fingerprint,
        switch=os.path.abspath(switch) if switch else "",
    )
    recorder = Recorder(request, {id(module) for module in model.modules()})
    with recording(model, recorder):
        is_file = fingerprint and is_fingerprint_file(output)
        yield Path(output) if is_file else Path(output, "ait_dump")


@contextmanager
def recording(model: torch.nn.Module, recorder: Recorder, *, first: bool = False) -> Iterator[None]:
    """While this holds, `recorder` is told of the calls of the modules that `model` has now; with
    `first` before their own hooks change what they are given, as `watch` has it."""
    try:
        with _heard(recorder), _hooked(model, recorder, first=first):
            yield
            recorder.tell_never_seen(model)
    finally:
        recorder.close()


@contextmanager
def _hooked(model: torch.nn.Module, recorder: Recorder, *, first: bool) -> Iterator[None]:
    """While this holds, the modules that `model` has now tell `recorder` of their calls."""
    after = _AfterForward(recorder)
    before = _BeforeForward(recorder, after)
    modules, handles = list(model.modules()), []
    try:
        for module in modules:
            if isinstance(module, torch.jit.ScriptModule):
                recorder.warn("modules made by torch.jit.script take no hooks and are not seen")
                continue
            hook = module.register_forward_pre_hook
            handles.append(hook(before, prepend=first, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in modules:
            after.leave(module)
