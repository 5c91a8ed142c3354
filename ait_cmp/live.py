"""Models compared while they run: `ait_cmp.watch`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from os import fspath

import torch

from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import Run
from ait_cmp.commands.say import remark
from ait_cmp.commands.shards import Settled
from ait_cmp.dump.hooks import recording
from ait_cmp.dump.identity import module_identities
from ait_cmp.dump.recorder import Recorder
from ait_cmp.engine.looks import look_at
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Request
from ait_cmp.judging import Sketch, Status, Subject
from ait_cmp.judging.comparison import LiveJudge, Row
from ait_cmp.judging.verdicts import Verdicts
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.row import pack_row
from ait_cmp.report import facts_since
from ait_cmp.results import RunComparison
from ait_cmp.settings.keywords import PathLike, ToleranceLike, live_settings
from ait_cmp.settings.options import one_of
from ait_cmp.settings.values import Settings
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.pair import Pair
from ait_cmp.watching.kept import AgainstDump, Golden
from ait_cmp.watching.outputs import REQUEST, Key, Sides, Sink
from ait_cmp.watching.watch import Watch

__all__ = ["Watched", "watch"]

_UNPAIRED = ("error", "ignore")
_STOPS = ("end", "first")


class _StopError(BaseException):
    """The model need not go on; nothing in it takes this for an error of its own."""


class Watched:
    """What was seen so far: `result` is as `compare_dumps` gives it, `first_divergence` its row as
    soon as there is one, and `stopped` says that the model was stopped at it."""

    def __init__(
        self, settings: Settings, expected: Callable[[], Iterable[Sketch]], *, stops: bool
    ) -> None:
        self.first_divergence: Row | None = None
        self.stopped = False
        self._settings, self._expected, self._stops = settings, expected, stops
        self._judges: dict[int, LiveJudge] = {}  # of each process
        self._started = datetime.now(UTC)
        self._pairs: list[Pair] = []
        self._measured: list[bytes | Measured] = []
        self._verdicts = Verdicts()
        self._diagnoses: dict[int, Diagnosis] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def result(self) -> RunComparison:
        """All rows so far, judged as they appeared."""
        measured = MeasuredRows(len(self._pairs))
        for number, one in enumerate(self._measured):
            if isinstance(one, bytes):
                measured.put(number, one)
            else:
                measured.put_made(number, one)
        settled = Settled(list(self._pairs), measured, MeasuredRows(0))
        chosen = self._settings.tolerance, self._settings.metrics
        verdicts = Verdicts()
        for verdict in self._verdicts:  # those to come are of another result
            verdicts.append(verdict)
        rows = JudgedRows(settled, *chosen, dict(self._diagnoses), verdicts)
        facts = facts_since(self._started, self._settings.in_force)
        return RunComparison.of(Run(settled, *chosen, rows, facts))

    def _take(self, pair: Pair, measured: Measured, tensors: Sides | None) -> None:
        """One more pair; a model that is to stop leaves by an exception."""
        if pair.run not in self._judges:
            chosen = self._settings.tolerance, self._settings.metrics
            self._judges[pair.run] = LiveJudge(*chosen, self._expected())
        row = self._judges[pair.run].row(pair, measured)
        self._verdicts.append(row.verdict)
        self._pairs.append(pair)
        request = Request(pair.golden, pair.my, self._settings.wanted)
        self._measured.append(measured if measured.error else pack_row(request, measured))
        if row.verdict.status is not Status.FAIL or row.verdict.follows:
            return
        if tensors and len(self._diagnoses) < self._settings.diagnosed:
            self._explain(tensors)
        if self.first_divergence is None:
            self.first_divergence = row = self.result.rows[len(self) - 1]
            remark(f"ait_cmp: it goes wrong {row.verdict.divergence or row.verdict.sentence}")
            if self._stops:
                self.stopped = True
                raise _StopError

    def _explain(self, tensors: Sides) -> None:
        """Say what the last row looks like, while its tensors are there."""
        golden, my = (from_memory(*as_array(one.detach(), "it")) for one in tensors)
        if diagnosis := look_at("diagnosis", golden, my).diagnosis:
            self._diagnoses[len(self) - 1] = diagnosis


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
    ignores = unpaired == "ignore"
    if not isinstance(golden, torch.nn.Module):
        path = fspath(golden)
        settings = live_settings(
            golden=path, my="live:my", tolerance=tolerance, metrics=metrics, epsilon=epsilon
        )
        kept = Golden(path)
        watched = Watched(settings, lambda: expected_of(kept, _types(my)), stops=stops)
        against = AgainstDump(kept, settings.wanted, watched._take, ignore_unpaired=ignores)
        watching = _recorded(my, against)
    else:
        settings = live_settings(
            golden="live:golden",
            my="live:my",
            tolerance=tolerance,
            metrics=metrics,
            epsilon=epsilon,
        )
        model = golden
        watched = Watched(settings, lambda: _expected(golden=model, my=my), stops=stops)
        watching = Watch(
            golden=golden,
            my=my,
            wanted=settings.wanted,
            take=watched._take,
            ignore_unpaired=ignores,
        ).watching()
    with suppress(_StopError), watching:
        yield watched


@contextmanager
def _recorded(my: torch.nn.Module, against: AgainstDump) -> Iterator[None]:
    """While this holds, what modules of `my` give back is held against a dump."""

    def look(key: Key, tensor: torch.Tensor, token_id: int, root: int) -> None:
        against.look(key, tensor, token_id, sink.models.get(root, ""))

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
    first = _types(golden)[0]
    for identity in module_identities(my).values():
        for dtype in _types(my):
            yield Sketch(Subject(f"{identity.key}/out0", 0, first, dtype))


def expected_of(golden: Golden, types: Iterable[DType]) -> Iterator[Sketch]:
    """What a call is thought to give of which golden was dumped."""
    for name in golden.outputs:
        for dtype in types:
            yield Sketch(Subject(name, 0, dtype, dtype))
