"""What is to be dumped: one plain value that the command makes and every backend reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ait_cmp.dump_tree import is_fingerprint_file
from ait_cmp.values.errors import UsageError

__all__ = [
    "DTYPES",
    "LOG_LEVELS",
    "TYPES",
    "DumpRequest",
    "id_list",
    "name_list",
    "range_list",
    "refuse_topology",
]

TYPES = (
    *("model", "layer", "op", "kernel", "tensor", "cpu_profiling"),
    *("grad", "weight", "optimizer"),
)
DTYPES = ("float32", "float16", "bfloat16")
LOG_LEVELS = {
    "debug": 0,
    "info": 1,
    "warning": 2,
    "warn": 2,
    "error": 3,
    "fatal": 4,
    "critical": 5,
}
BEFORE, AFTER, INPUTS, OUTPUTS, BOTH = 0, 1, 0, 1, 2
_ID = re.compile(r"[0-9]{1,9}(?:_[0-9]{1,9})*")
_RANGE_END = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """The options of `ait llm dump`, under their long names.

    `execute_range` holds closed ranges of token rounds. `save_time`: 0 before an operation runs,
    1 after, 2 both. `save_tensor_part`: 0 its inputs, 1 its outputs, 2 both. An operation is
    selected by `save_operation_ids` (and, with `save_operation_child`, what it calls) or by
    `operation_name` (the start of a name); all are where neither is given. All processes count in
    the file `counter`, where there is one, what they use up of `max_bytes`. `force_tokens` is a
    file of the tokens that `generate` is to choose, as `dump.forcing` reads it. `dtype` is what the
    weights and inputs of modules are cast to, where it is not empty. With `fingerprint` one file of
    fingerprints is written and no tensor; `output` may be its name.

    Raises UsageError for values that make no sense.
    """

    output: str
    types: tuple[str, ...] = ("tensor",)
    only_save_desc: bool = False
    save_operation_ids: tuple[str, ...] = ()
    execute_range: tuple[tuple[int, int], ...] = ((0, 0),)
    save_operation_child: bool = True
    save_time: int = AFTER
    operation_name: tuple[str, ...] = ()
    save_tiling: bool = False
    save_tensor_part: int = BOTH
    device_id: int | None = None
    log_level: str = "info"
    max_bytes: int | None = None
    counter: str = ""
    force_tokens: str = ""
    dtype: str = ""
    fingerprint: bool = False
    watcher: str = ""
    switch: str = ""

    def __post_init__(self) -> None:
        for name in self.types:
            if name not in TYPES:
                raise UsageError(f"there is no type {name!r}; choose from {', '.join(TYPES)}")
        for identity in self.save_operation_ids:
            if not _ID.fullmatch(identity):
                raise UsageError(
                    f"{identity!r} in --save-operation-ids is no operation id; write 2,3_1"
                )
        if not self.execute_range:
            raise UsageError("--execute-range is empty; write first,last of the token rounds: 0,0")
        for first, last in self.execute_range:
            if not 0 <= first <= last:
                raise UsageError(f"--execute-range {first},{last} ends before it begins")
        for option, value in (
            ("save-time", self.save_time),
            ("save-tensor-part", self.save_tensor_part),
        ):
            if value not in (0, 1, 2):
                raise UsageError(f"--{option} must be 0, 1 or 2, not {value}")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise UsageError(f"--max-bytes must be 1 or more, not {self.max_bytes}")
        if self.fingerprint and self.only_save_desc:
            raise UsageError(
                "--fingerprint keeps what --only-save-desc would leave out; take one of the two"
            )
        if self.fingerprint and is_fingerprint_file(self.output):
            refuse_topology(self.types, self.output)
        if self.dtype and self.dtype not in DTYPES:
            raise UsageError(
                f"--dtype {self.dtype} is none that modules are cast to; choose from "
                f"{', '.join(DTYPES)}"
            )
        if self.log_level not in LOG_LEVELS:
            raise UsageError(
                f"there is no log level {self.log_level!r}; choose from {', '.join(LOG_LEVELS)}"
            )

    @property
    def activations(self) -> bool:
        """Whether what modules are given and give back is saved."""
        return "tensor" in self.types

    @property
    def of_rounds(self) -> bool:
        """Whether tensors are saved in the rounds of a model."""
        return not {"tensor", "grad", "weight"}.isdisjoint(self.types)

    @property
    def learning(self) -> bool:
        """Whether what a model learns by is saved."""
        return not {"grad", "weight", "optimizer"}.isdisjoint(self.types)

    @property
    def before(self) -> bool:
        """Whether tensors are saved before their operation runs."""
        return self.save_time in (BEFORE, BOTH)

    @property
    def after(self) -> bool:
        """Whether tensors are saved after their operation ran."""
        return self.save_time in (AFTER, BOTH)

    @property
    def inputs(self) -> bool:
        """Whether inputs are saved."""
        return self.save_tensor_part in (INPUTS, BOTH)

    @property
    def outputs(self) -> bool:
        """Whether outputs are saved."""
        return self.save_tensor_part in (OUTPUTS, BOTH)

    def covers(self, token_id: int) -> bool:
        """Whether the round `token_id` is in a range."""
        return any(first <= token_id <= last for first, last in self.execute_range)

    def selects(self, ids: tuple[int, ...], names: Iterable[str]) -> bool:
        """Whether the operation at `ids`, which goes by any of `names`, is to be saved."""
        if not self.save_operation_ids and not self.operation_name:
            return True
        own = "_".join(map(str, ids))
        if any(
            own == wanted or (self.save_operation_child and own.startswith(f"{wanted}_"))
            for wanted in self.save_operation_ids
        ):
            return True
        starts = tuple(start.lower() for start in self.operation_name)
        return any(name.lower().startswith(starts) for name in names)

    def to_json(self) -> str:
        """The request as text, for the environment of a process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DumpRequest:
        """The request that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        values["execute_range"] = tuple(map(tuple, values["execute_range"]))
        for name in ("types", "save_operation_ids", "operation_name"):
            values[name] = tuple(values[name])
        return cls(**values)


def id_list(text: str) -> tuple[str, ...]:
    """`2,3_1` as its operation ids; empty text: none."""
    return tuple(text.split(",")) if text else ()


def name_list(text: str) -> tuple[str, ...]:
    """`self,linear` as its names, without empty ones, which would match everything."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def range_list(text: str) -> tuple[tuple[int, int], ...]:
    """`3,5,7,7` as the closed ranges [3, 5] and [7, 7]. Raises UsageError."""
    ends = text.split(",")
    if len(ends) % 2 or not all(map(_RANGE_END.fullmatch, ends)):
        raise UsageError(
            f"--execute-range {text} is no list of closed ranges; write first,last for each: "
            "3,5,7,7 for the rounds 3 to 5 and 7"
        )
    numbers = list(map(int, ends))
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def refuse_topology(types: Iterable[str], output: str) -> None:
    """Raise UsageError where some of these types are files of their own, and `output` is one."""
    if found := [name for name in types if name in ("model", "layer")]:
        raise UsageError(
            f"{output} takes fingerprints alone, and --type {' '.join(found)} writes other files; "
            "give a folder as --output"
        )
