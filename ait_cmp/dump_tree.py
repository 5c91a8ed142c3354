"""The names of the files and folders that dumps consist of: built and parsed here, nowhere else.

dump_data and the library, whose successor puts either below `msit_dump_{TIME}/`:

    ait_dump/{PID}_{DEVICE}/golden_tensor/metadata.json
                                          {TOKEN}/{DATA_ID}_tensor.pth
                                          golden.fp.safetensors
    ait_dump/tensors/{DEVICE}_{PID}/{ROUND}/{N}_{Operation}/…/{before,after}/{in,out}tensor{K}.bin
                                            {N}_{Operation}/…/after/grad_{in,out}tensor{K}.bin
                                            {N}_{Model}/{before/weight,after/grad,after/state}{K}.bin
    ait_dump/fingerprints/{PID}.fp.safetensors
    X.fp.safetensors, and before it is there, X.fp.safetensors.unfinished/ait_dump/fingerprints/…
    ait_dump/{model,layer}/{PID}/{N}_{Name}.json
    atb_dump_data/data/{DEVICE}_{PID}/{ROUND}/…

A tensor of either that could not be saved has `{FILE}.failed`, which says why, in its place. Every
`golden_tensor` and {DEVICE}_{PID} of ours has `rank.json`, which says of which process it is, and
one of hooks has `modules.jsonl`, which says what in the model each of its tensors is.

msprobe and SGLang:

    step{N}/{rank{N},proc{PID}}/{dump.json,debug.json,construct.json,dump_tensor_data/…}
    {key}={value}___{key}={value}.pt
    TP{N}_PP{N}_Rank{N}_pid{N}/Pass{NNNNN}.pt

A folder of a process that finds its name taken gets `_1`, `_2` … behind it. The device of a CPU
is -1. Paths are plain text with slashes.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BASE_LAYER",
    "DUMP",
    "FINGERPRINTS",
    "GOLDEN_TENSOR",
    "IN_EVERY_FOLDER",
    "LIBRARY_PLACES",
    "METADATA",
    "MSPROBE_FILES",
    "MSPROBE_PARENTS",
    "MSPROBE_TENSORS",
    "RANK_FILE",
    "UNKNOWN_SHELL",
    "Direction",
    "LibraryFile",
    "LibraryPlace",
    "Moment",
    "RankName",
    "fingerprint_file",
    "former_data_id",
    "golden_file",
    "golden_fingerprints",
    "golden_rank",
    "golden_tensor",
    "gradient_operand",
    "is_below_rank",
    "is_dump",
    "is_fingerprint_file",
    "is_foreign",
    "is_golden_fingerprint",
    "is_hidden",
    "is_successor",
    "is_weight",
    "is_wrapper",
    "learned",
    "library_file",
    "library_place",
    "library_rank",
    "library_tensors",
    "modules_file",
    "msprobe_rank",
    "msprobe_step",
    "not_saved",
    "not_saved_for",
    "operand",
    "operand_alias",
    "operand_direction",
    "operation",
    "operation_number",
    "other_fingerprints",
    "rank_file",
    "round_number",
    "sglang_pass",
    "sglang_pass_rank",
    "sglang_tags",
    "tensor_name",
    "topology_file",
    "unfinished",
]

Moment = Literal["before", "after"]
Direction = Literal["in", "out"]

DUMP = "ait_dump"
GOLDEN_TENSOR = "golden_tensor"
METADATA = "metadata.json"
MSPROBE_FILES = ("dump.json", "debug.json")  # of hooks, and of what a script saves itself
MSPROBE_PARENTS = "construct.json"
MSPROBE_TENSORS = "dump_tensor_data"
RANK_FILE = "rank.json"
_MODULES_FILE = "modules.jsonl"
IN_EVERY_FOLDER = (RANK_FILE, _MODULES_FILE)  # of tensors, and none of them

# What a layer of peft's holds and adds to: its own output is the one that the model goes on with.
BASE_LAYER = "base_layer"
# What is held like a wrapper by a class that is not known to be one.
UNKNOWN_SHELL = "module"
# Classes that hand on what they are given, and what comes back.
_WRAPPERS = frozenset(
    # Of torch, its accelerators, fairscale; engines; tuners of peft, whose models are PeftModel….
    [
        "AveragedModel",
        "CheckpointWrapper",
        "DataParallel",
        "DistributedDataParallel",
        "FlattenParamsWrapper",
        "FullyShardedDataParallel",
        "OffloadWrapper",
        "OptimizedModule",
        "ShardedDataParallel",
        "SpmdFullyShardedDataParallel",
        "XlaFullyShardedDataParallel",
        "DeepSpeedEngine",
        "DeepSpeedHybridEngine",
        "Float16Module",
        "InferenceEngine",
        "PipelineEngine",
        "TorchFullyShardedDataParallel",
        "AdaLoraModel",
        "AdaptionPromptModel",
        "BOFTModel",
        "BoneModel",
        "C3AModel",
        "FourierFTModel",
        "HRAModel",
        "IA3Model",
        "LNTuningModel",
        "LoHaModel",
        "LoKrModel",
        "LoraModel",
        "MissModel",
        "MixedModel",
        "OFTModel",
        "PeftMixedModel",
        "PolyModel",
        "RandLoraModel",
        "RoadModel",
        "ShiraModel",
        "TrainableTokensModel",
        "VBLoRAModel",
        "VeraModel",
        "XLoraModel",
    ]
)

FINGERPRINTS = ".fp.safetensors"  # how a file of them is called
_GOLDEN_FINGERPRINTS = f"golden{FINGERPRINTS}"
_TENSORS = "tensors"
_NEWER = "atb_dump_data"
_LIBRARY = (f"{DUMP}/{_TENSORS}", f"{_NEWER}/data")
# Where {DEVICE}_{PID} of the library stands below what a user may call "the dump".
LIBRARY_PLACES = ("", _TENSORS, _LIBRARY[0], "data", _LIBRARY[1])

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_GOLDEN_RANK = re.compile(r"(\d{1,18})_(-?\d{1,18})(?:_([1-9]\d{0,8}))?", re.ASCII)
_LIBRARY_RANK = re.compile(r"(-?\d{1,18})_(\d{1,18})(?:_([1-9]\d{0,8}))?", re.ASCII)
_LIBRARY_PLACE = re.compile(
    r"(?<![^/])(-?\d{1,18})_(\d{1,18})(?:_([1-9]\d{0,8}))?/(\d{1,18})(?=/)", re.ASCII
)
_SUCCESSOR = re.compile(r"msit_dump_.+", re.DOTALL)
_LIBRARY_FILE = re.compile(
    rf"((?:msit_dump_[^/]+/)?(?:{'|'.join(_LIBRARY)})/[^/]+)/(\d{{1,18}})/.+\.bin",
    re.ASCII | re.DOTALL,
)
_COMPUTED = re.compile(r"(?:in|out)\d*(?:[.@]|$)|(?:grad|state|set|left)\.")
_OPERAND = re.compile(r"(in|out)tensor\d")
_FORMER = re.compile(
    r"(?:^|/)((?:\d{1,18}_[^/]+/)+(?:before|after)/(?:in|out)tensor\d{1,9})\.bin\Z", re.ASCII
)
_ALIAS = re.compile(r"(\d{1,9}(?:_\d{1,9}){0,15})_((?:in|out)tensor\d{1,9}\.bin)", re.ASCII)
_BELOW_RANK = re.compile(r"before|after|\d.*", re.ASCII | re.DOTALL)
_STEP = re.compile(r"step(\d{1,18})", re.ASCII)
_MSPROBE_RANK = re.compile(r"rank(\d{0,18})|proc(\d{1,18})", re.ASCII)

_SGLANG_PASS = re.compile(r"Pass(\d{1,18})\.pt", re.ASCII)
_SGLANG_PASS_RANK = re.compile(r"(?:[A-Z]{2,8}\d{1,9}_){0,8}Rank(\d{1,9})_pid(\d{1,18})", re.ASCII)

_TENSOR_SUFFIX = "_tensor.pth"
_FAILED_SUFFIX = ".failed"
_SAFE_DATA_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+,@-]{0,99}")
_HASHED = re.compile(r".*-[0-9a-f]{16}")
_UNSAFE_IN_DATA_ID = re.compile(r"[^A-Za-z0-9._-]+")
_UNSAFE_IN_OPERATION = re.compile(r"[^A-Za-z0-9_.-]+")
# What systems and tools leave in folders that others wrote: macOS, Windows, NAS, Jupyter, Python.
_FOREIGN = frozenset(
    {
        "$RECYCLE.BIN",
        "@eaDir",
        "System Volume Information",
        "Thumbs.db",
        "__MACOSX",
        "__pycache__",
        "desktop.ini",
        "lost+found",
        ".DS_Store",
        ".git",
        ".ipynb_checkpoints",
    }
)
_FOREIGN_PREFIXES = ("._", ".nfs", ".Trash", ".fuse_hidden", ".~lock.", "~$")


@dataclass(frozen=True, slots=True, order=True)
class RankName:
    """One process of a run; `again` tells those apart that had the same device and PID."""

    device: int
    process: int
    again: int = 0

    @property
    def golden(self) -> str:
        """How dump_data calls its folder."""
        return f"{self.process}_{self.device}{self._suffix}"

    @property
    def library(self) -> str:
        """How the library calls its folder."""
        return f"{self.device}_{self.process}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f"_{self.again}" if self.again else ""


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A tensor in the library's tree: the folder of its process, and its round."""

    rank: str
    round: int


@dataclass(frozen=True, slots=True)
class LibraryPlace:
    """Where any path has a tensor of the library: its process, its round, the path from that on."""

    rank: RankName
    round: int
    below: str

    def may_be(self, other: LibraryPlace) -> bool:
        """Whether both are of one device and round; the process of another run has another id."""
        return (self.rank.device, self.round) == (other.rank.device, other.round)


def not_saved(file: str) -> str:
    """What stands beside the place of a tensor that could not be saved, and says why."""
    return f"{file}{_FAILED_SUFFIX}"


def not_saved_for(name: str) -> str | None:
    """The file that could not be saved, where `name` is what says why."""
    return name.removesuffix(_FAILED_SUFFIX) if name.endswith(_FAILED_SUFFIX) else None


def is_foreign(name: str) -> bool:
    """Whether a file or folder called `name` is known to be no part of any dump."""
    return name in _FOREIGN or name.startswith(_FOREIGN_PREFIXES)


def is_hidden(name: str) -> bool:
    """Whether `name` is what listings do not show; no dump has such a part that is whole."""
    return name.startswith(".") or is_foreign(name)


def rank_file(folder: str) -> str:
    """What says of which process a folder is."""
    return os.path.join(folder, RANK_FILE)


# -- dump_data


def golden_tensor(root: str, rank: RankName) -> str:
    """The folder that dump_data writes to."""
    return os.path.join(root, DUMP, rank.golden, GOLDEN_TENSOR)


def golden_rank(name: str) -> RankName | None:
    """The process whose folder dump_data called `name`."""
    match = _GOLDEN_RANK.fullmatch(name)
    return RankName(int(match[2]), int(match[1]), int(match[3] or 0)) if match else None


def golden_file(folder: str, token_id: int, name: str) -> str:
    """The tensor `name` of a token, in a `golden_tensor` folder."""
    return os.path.join(folder, str(token_id), name)


def is_tensor_name(name: str) -> bool:
    """Whether a file is called as `tensor_name` calls that of some data_id."""
    return name.endswith(_TENSOR_SUFFIX)


def tensor_name(data_id: str) -> str:
    """The file of a data_id; where that is no plain name, a readable one with a hash."""
    plain = _SAFE_DATA_ID.fullmatch(data_id) and not _HASHED.fullmatch(data_id)
    if not plain:
        digest = hashlib.sha256(data_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        data_id = f"{_UNSAFE_IN_DATA_ID.sub('_', data_id)[:60].lstrip('.-')}-{digest}"
    return f"{data_id}{_TENSOR_SUFFIX}"


# -- fingerprints


def fingerprint_file(root: str, process: int, again: int) -> str:
    """The file of a process, the `again`-th of its number."""
    name = _numbered(str(process), again)
    return os.path.join(root, DUMP, "fingerprints", f"{name}{FINGERPRINTS}")


def unfinished(path: str, again: int) -> str:
    """The folder beside the file at `path` that its parts are in before it is made of them, the
    `again`-th."""
    return _numbered(f"{path}.unfinished", again)


def other_fingerprints(path: str, again: int) -> str:
    """The file beside one of fingerprints at `path`, for what that is not of."""
    return f"{_numbered(path.removesuffix(FINGERPRINTS), again)}{FINGERPRINTS}"


def golden_fingerprints(folder: str) -> str:
    """The file of those that dump_data keeps, in a `golden_tensor` folder."""
    return os.path.join(folder, _GOLDEN_FINGERPRINTS)


def is_golden_fingerprint(name: str) -> bool:
    """Whether `file::name`, without folders, is of that file."""
    return name.startswith(f"{_GOLDEN_FINGERPRINTS}::")


def is_fingerprint_file(name: str) -> bool:
    """Whether a file called `name` is one of fingerprints."""
    return name.endswith(FINGERPRINTS)


def _numbered(name: str, again: int) -> str:
    return f"{name}_{again}" if again else name


# -- the library


def library_tensors(root: str, rank: RankName) -> str:
    """The folder in which the rounds of a process are."""
    return os.path.join(root, _LIBRARY[0], rank.library)


def modules_file(folder: str) -> str:
    """What says what in the model the tensors in a folder {DEVICE}_{PID} are."""
    return os.path.join(folder, _MODULES_FILE)


def former_data_id(path: str) -> str | None:
    """How a tensor of a module was called before dumps said what it is: by its place."""
    match = _FORMER.search(path) if path.endswith(".bin") else None
    return match[1] if match else None


def is_wrapper(kind: str) -> bool:
    """Whether the class is known to wrap a module and to change nothing of what that does."""
    return kind in _WRAPPERS or kind.startswith("PeftModel")


def library_rank(name: str) -> RankName | None:
    """The process whose folder the library called `name`."""
    match = _LIBRARY_RANK.fullmatch(name)
    return RankName(int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def library_place(path: str) -> LibraryPlace | None:
    """What {DEVICE}_{PID}/{ROUND}/ in the path of a tensor says."""
    matches = list(_LIBRARY_PLACE.finditer(path))
    if not matches:
        return None
    match = matches[-1]  # what is above may be called so by chance
    rank = RankName(int(match[1]), int(match[2]), int(match[3] or 0))
    return LibraryPlace(rank, int(match[4]), path[match.start(4) :])


def is_successor(name: str) -> bool:
    """Whether `name` is a folder in which the library's successor put a whole dump."""
    return _SUCCESSOR.fullmatch(name) is not None


def is_dump(name: str) -> bool:
    """Whether `name` is one of the folders that dumping makes in the output folder."""
    return name in (DUMP, _NEWER) or is_successor(name)


def round_number(name: str) -> int | None:
    """The round whose folder is called `name`."""
    return int(name) if _NUMBER.fullmatch(name) else None


def operation(number: int, name: str) -> str:
    """The folder of an operation, the `number`-th of the one around it."""
    return f"{number}_{_UNSAFE_IN_OPERATION.sub('_', name)[:100]}"


def operation_number(name: str) -> int | None:
    """The number of the operation whose folder is called `name`."""
    number, underscore, _ = name.partition("_")
    return int(number) if underscore and _NUMBER.fullmatch(number) else None


def operand(moment: Moment, direction: Direction, number: int) -> str:
    """A tensor of an operation, below its folder."""
    return f"{moment}/{direction}tensor{number}.bin"


def gradient_operand(direction: Direction, number: int) -> str:
    """The gradient of a tensor of an operation, below its folder."""
    return f"after/grad_{direction}tensor{number}.bin"


def learned(path: str, kind: Literal["weight", "grad", "state", "set"], number: int) -> str:
    """What a model whose round is at `path` has of its `number`-th parameter or buffer."""
    return f"{path}/{'before' if kind == 'weight' else 'after'}/{kind}{number}.bin"


def is_weight(operand: str) -> bool:
    """Whether a tensor of a module is a parameter or buffer of it: what it was given or gave back,
    what it changed, gradients, the state of an optimizer and its settings are called otherwise."""
    return not _COMPUTED.match(operand)


def operand_direction(name: str) -> str | None:
    """Whether the file `name` is what an operation was given (`in`) or gave back (`out`)."""
    match = _OPERAND.match(name)
    return match[1] if match else None


def operand_alias(name: str) -> tuple[tuple[int, ...], str] | None:
    """`2_3_outtensor0.bin` as the operation (2, 3), counted from the round down, and its file."""
    match = _ALIAS.fullmatch(name)
    return (tuple(map(int, match[1].split("_"))), match[2]) if match else None


def is_below_rank(name: str) -> bool:
    """Whether a folder called `name` can stand between {DEVICE}_{PID} and a tensor."""
    return _BELOW_RANK.fullmatch(name) is not None


def library_file(path: str) -> LibraryFile | None:
    """What the path of a tensor, below the output folder, says; None for any other file."""
    match = _LIBRARY_FILE.fullmatch(path)
    return LibraryFile(match[1], int(match[2])) if match else None


def topology_file(root: str, kind: str, process: int, number: int, name: str) -> str:
    """The `number`-th model of a process, or a layer `name` of it, as JSON."""
    file = f"{number}_{name.replace('/', '_')}.json"
    return os.path.join(root, DUMP, kind, str(process), file)


# -- others


def msprobe_step(name: str) -> int | None:
    """The step whose folder msprobe called `name`."""
    match = _STEP.fullmatch(name)
    return int(match[1]) if match else None


def msprobe_rank(name: str) -> RankName | None:
    """The process whose folder msprobe called `name`; of a single one, the device is -1."""
    match = _MSPROBE_RANK.fullmatch(name)
    return RankName(int(match[1] or -1), int(match[2] or 0)) if match else None


def sglang_pass(name: str) -> int | None:
    """The forward pass whose file SGLang called `name`."""
    match = _SGLANG_PASS.fullmatch(name)
    return int(match[1]) if match else None


def sglang_pass_rank(name: str) -> RankName | None:
    """The process whose folder of passes SGLang called `name`."""
    match = _SGLANG_PASS_RANK.fullmatch(name)
    return RankName(int(match[1]), int(match[2])) if match else None


def sglang_tags(stem: str) -> dict[str, str]:
    """The keys and values that the name of a file of SGLang's says; none where it is no such."""
    parts = [part.partition("=") for part in stem.split("___")]
    tags = {key: value for key, equals, value in parts if equals}
    return tags if len(tags) == len(parts) else {}
