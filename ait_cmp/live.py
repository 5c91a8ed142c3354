"""Models compared while they run: `ait_cmp.watch`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from os import fspath

import torch

from ait_cmp.commands.live_run import LiveRun, StopWatchingError, expected_of
from ait_cmp.dump.hooks import recording
from ait_cmp.dump.identity import module_identities
from ait_cmp.dump.recorder import Recorder
from ait_cmp.judging import Sketch, Subject
from ait_cmp.results import RunComparison
from ait_cmp.settings.keywords import PathLike, ToleranceLike, live_settings
from ait_cmp.settings.options import one_of
from ait_cmp.settings.values import Settings
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.watching.kept import AgainstDump, Golden
from ait_cmp.watching.outputs import REQUEST, Key, Sink
from ait_cmp.watching.watch import Watch

__all__ = ["Watched", "watch"]

_UNPAIRED = ("error", "ignore")
_STOPS = ("end", "first")


class Watched(LiveRun):
    """What was seen so far: `result` is as `compare_dumps` gives it, `first_divergence` its row as
    soon as there is one, and `stopped` says that the model was stopped at it."""

    @property
    def result(self) -> RunComparison:
        """All rows so far, judged as they appeared."""
        return RunComparison.of(self.run)


@contextmanager
def watch(
    *,
    my: torch.nn.Module,
    golden: torch.nn.Module | PathLike,
    tolerance: ToleranceLike = "dtype",
    metrics: str = "standard",
    epsilon: float | None = None,
    unpaired: str = "error",
    stop_at: str = "end",
) -> Iterator[Watched]:
    """Compare every module's output of a model while the block runs, without a dump of it.

    With a model as `golden` each call of `my` is one of `golden` as well, on copies of the same
    arguments; what a module of my gives back is judged at once, beside golden's, where it is: no
    tensor of a GPU is copied to the host. Else `golden` is a dump, of tensors or of fingerprints.
    The first divergence is told on stderr as soon as it is there, and with `stop_at="first"` the
    block ends there, without an error. `unpaired="ignore"` skips what one side alone has.

    Raises UsageError for what makes no sense, TypeError for what is no module.
    """
    if not isinstance(my, torch.nn.Module):
        raise TypeError(f"my must be a torch.nn.Module, not {type(my).__name__}")
    one_of("unpaired", unpaired, _UNPAIRED)
    stops = one_of("stop_at", stop_at, _STOPS) == "first"
    settings = live_settings(
        golden="live:golden" if isinstance(golden, torch.nn.Module) else fspath(golden),
        my="live:my",
        tolerance=tolerance,
        metrics=metrics,
        epsilon=epsilon,
    )
    watched, watching = _watched(golden, my, settings, ignores=unpaired == "ignore", stops=stops)
    with _threads_may_stop(), suppress(StopWatchingError), watching:
        yield watched


@contextmanager
def _threads_may_stop() -> Iterator[None]:
    """While this holds, a thread of the script that is stopped ends without a word."""
    before = threading.excepthook

    def tell(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, StopWatchingError):
            before(args)

    threading.excepthook = tell
    try:
        yield
    finally:
        if threading.excepthook is tell:
            threading.excepthook = before


def _watched(
    golden: torch.nn.Module | PathLike,
    my: torch.nn.Module,
    settings: Settings,
    *,
    ignores: bool,
    stops: bool,
) -> tuple[Watched, AbstractContextManager[None]]:
    """Who keeps the rows, and what makes them while it is entered."""
    if isinstance(golden, torch.nn.Module):
        model = golden
        watched = Watched(settings, lambda: _expected(golden=model, my=my), stops=stops)
        beside = Watch(
            golden=golden,
            my=my,
            wanted=settings.wanted,
            take=watched.take,
            ignore_unpaired=ignores,
        )
        return watched, beside.watching()
    kept = Golden(fspath(golden))
    watched = Watched(settings, lambda: expected_of(kept, _types(my)), stops=stops)
    against = AgainstDump(kept, settings.wanted, watched.take, ignore_unpaired=ignores)
    return watched, _recorded(my, against)


@contextmanager
def _recorded(my: torch.nn.Module, against: AgainstDump) -> Iterator[None]:
    """While this holds, what modules of `my` give back is held against a dump."""

    def look(key: Key, tensor: torch.Tensor, token_id: int, root: int) -> None:
        with one_by_one:
            against.look(key, tensor, token_id, sink.models.get(root, ""))

    one_by_one = threading.Lock()
    sink = Sink(look)
    modules = {id(module) for module in my.modules()}
    with recording(my, Recorder(REQUEST, modules, lambda _: sink)):
        yield
    against.finish()


def _types(model: torch.nn.Module) -> list[DType]:
    """Those of the parameters; float32 where there are none."""
    names = dict.fromkeys(str(one.dtype).removeprefix("torch.") for one in model.parameters())
    return [DTYPES[name] for name in names if name in DTYPES] or [DTYPES["float32"]]


def _expected(*, golden: torch.nn.Module, my: torch.nn.Module) -> Iterator[Sketch]:
    """What one call is thought to give: an output of each module, of the types of the
    parameters."""
    first, types = _types(golden)[0], _types(my)
    for identity in module_identities(my).values():
        for dtype in types:
            yield Sketch(Subject(f"{identity.key}/out0", 0, first, dtype))
