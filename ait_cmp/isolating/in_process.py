"""In the process of a script: my's calls are written down, or golden's modules answer them.

Golden's modules answer as soon as golden's own model has run as often as my's was recorded, since
then all of it is there and as it ran; where it runs less often, when the process ends.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.hooks import watch
from ait_cmp.isolating.isolation import PRECISIONS, Isolation, Kinded, OwnTensor, pair_of, settled
from ait_cmp.isolating.partners import Partners, are_named_alike
from ait_cmp.isolating.recording import Call, CallRecorder, Recording
from ait_cmp.isolating.structure import Held
from ait_cmp.isolating.written import read_recording, write_calls
from ait_cmp.values.pair import Alone, Pair

__all__ = ["ROWS", "Task", "isolate_process", "read_pairs"]

ROWS = "rows.jsonl"


@dataclass(frozen=True, slots=True)
class Task:
    """What the processes of a script are to do: write the calls of these rounds to a folder of
    their own in `folder`, or, where `calls` has those of my's, answer them there."""

    folder: str
    rounds: tuple[tuple[int, int], ...] = ((0, 0),)
    calls: str = ""
    precision: str = "float64"

    def to_json(self) -> str:
        """As text, for the environment of a process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "rounds": tuple(map(tuple, values["rounds"]))})

    @property
    def request(self) -> DumpRequest:
        """Which rounds."""
        return DumpRequest(self.folder, execute_range=self.rounds)


def isolate_process(text: str) -> None:
    """Do what the task `text` says in this process."""
    task = Task.from_json(text)
    folder = os.path.join(task.folder, str(os.getpid()))
    os.makedirs(folder, exist_ok=True)
    recording = Recording()
    watching: _Answering | _Writing = _Writing(folder, recording)
    if task.calls:
        watching = _Answering(task, folder, recording)
    torch.backends.mha.set_fastpath_enabled(False)  # else hooks alone decide what encoders call
    recorder = CallRecorder(recording, task.request, ended=watching.ended, folder=folder)
    watching.recorder = recorder
    watch(recorder)
    atexit.register(watching.close)


class _Writing:
    """Writes my's calls."""

    recorder: CallRecorder

    def __init__(self, folder: str, recording: Recording) -> None:
        self._folder, self._recording = folder, recording

    def ended(self, root: torch.nn.Module, call: Call) -> None:
        """A model was called, and has run."""
        write_calls(self._folder, [*_all(call)], self._recording)
        self._recording.calls.clear()

    def close(self) -> None:
        """Leave no folder where nothing was called."""
        if not os.listdir(self._folder):
            os.rmdir(self._folder)


class _Answering:
    """Runs golden's modules on what my's were given."""

    recorder: CallRecorder

    def __init__(self, task: Task, folder: str, recording: Recording) -> None:
        self._task, self._folder, self._recording = task, folder, recording
        self._my: Recording | None = None
        self._best: torch.nn.Module | None = None  # kept, since the script may let it go
        self._made = itertools.count()

    def ended(self, root: torch.nn.Module, call: Call) -> None:
        """A model was called, and has run: answer, if it is golden's and no more rounds come."""
        if not self._is_golden(root):
            return
        self._best = root
        assert self._my
        if call.token_id >= max(one.token_id for one in self._my.calls):
            self._answer(root)

    def close(self) -> None:
        """Answer at the end what was not answered yet."""
        if self._best is not None and not self.recorder.paused:
            self._answer(self._best)
        if not os.listdir(self._folder):
            os.rmdir(self._folder)

    def _is_golden(self, root: torch.nn.Module) -> bool:
        """Whether a model has partners of most of my's modules."""
        if self._my is None:
            self._my = read_recording(Path(self._task.calls))
        return are_named_alike(root, self._my)

    def _answer(self, root: torch.nn.Module) -> None:
        self.recorder.paused = True
        assert self._my
        precision = PRECISIONS[self._task.precision]
        isolation = Isolation(root, Partners(root), self._my, self._recording, precision)
        found: list[Kinded] = []
        files: list[tuple[str, str, str]] = []
        for kind, one in isolation.tensors():
            mine = "" if one.my.file else self._kept(one.my)  # a number
            files.append((self._kept(one.golden), self._kept(one.reference), mine))
            found.append((kind, one.empty()))
        path = os.path.join(self._folder, ROWS)
        with open(path, "w", encoding="utf-8") as file:
            for each in settled(found):
                one, (golden, reference, mine) = found[each.place][1], files[each.place]
                line = _line(one, each.alone, golden, "" if each.is_coarse else reference, mine)
                file.write(json.dumps(line) + "\n")

    def _kept(self, held: Held | None) -> str:
        """The file of what golden made."""
        if held is None:
            return ""
        name = f"made{next(self._made):06}.pth"
        torch.save(held.tensor, os.path.join(self._folder, name))
        return name


def _all(call: Call) -> Iterator[Call]:
    yield call
    for one in call.inside:
        yield from _all(one)


def _line(one: OwnTensor, alone: Alone, golden: str, reference: str, mine: str) -> dict[str, Any]:
    texts = {"data_id": one.data_id, "why": one.why, "by": one.by}
    files = {"my": os.path.basename(one.my.file), "golden": golden, "reference": reference}
    files["mine"] = mine  # beside golden's
    return {**texts, "token_id": one.token_id, "alone": list(alone), **files}


def read_pairs(answers: Path, calls: Path) -> list[Pair]:
    """The rows that golden's process wrote into `answers`, of my's `calls`, in their order."""
    found: list[Pair] = []
    with (answers / ROWS).open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            golden, reference = (
                str(answers / line[side]) if line[side] else "" for side in ("golden", "reference")
            )
            my = answers / line["mine"] if line["mine"] else calls / line["my"]
            sides = golden, str(my), reference
            name, alone = (line["data_id"], line["token_id"]), Alone(*line["alone"])
            pair = pair_of(*name, alone, sides, why=line["why"], by=line["by"])
            found.append(pair._replace(order=len(found)))
    return found
