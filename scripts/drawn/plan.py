"""What a drawn run is: everything about it but its bytes, small enough to print."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st

__all__ = ["FLOATS", "Key", "Plan", "Spec", "plans"]

Key = tuple[int, int, str]  # rank, token, name

FLOATS = ("float32", "float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2")
_EXACT = ("int8", "uint8", "int32", "int64", "bool")
# What a suffix can hold; torch's own formats hold everything.
_UNHELD = {".npy": {"bfloat16", "float8_e4m3fn", "float8_e5m2"}}
_SUFFIXES = (".pt", ".pth", ".npy", ".safetensors", ".bin")
_SHAPES = [(), (1,), (3,), (2, 3), (4, 6), (16, 8), (2, 3, 8), (40,), (5, 70)]
_MATRICES = [(2, 3), (4, 6), (16, 8), (5, 70)]
# By the style of its names, the layouts that can hold a run.
_LAYOUTS = {
    "library": ("library", "newer", "successor", "dump_data", "folder"),
    "msprobe": ("msprobe", "dump_data", "folder"),
    "sglang": ("sglang", "dump_data", "folder"),
    "text": ("dump_data", "folder"),
}
_NAMES = {
    "library": "{}_Op/after/outtensor0",
    "msprobe": "Module.op{}.Linear.forward.0.output.0",
    "sglang": "op{}",
    "text": "{}",
}
_TEXTS = ("q", "1_0", "010", "no", "层.q", "a b", "a=b", "1e3", "~")
_OF_FORMAT = {"library": ".bin", "newer": ".bin", "successor": ".bin", "dump_data": ".pth"}
_MAPPINGS = ("metadata", "metadata", "tree", "tree", "rules", "pairs", "files")
_RERUN = ("library", "newer", "dump_data")  # that hold a second run as a further process
FAULTS = ("sign", "zero", "another tensor", "another token", "another rank", "noise", "NaN")
TOLERANCES = (
    "dtype",
    "dtype",
    "int8",
    "ascend",
    "assert_close",
    "strict",
    "one exempt",  # growth, but for one glob
    "cosine_similarity",  # limits of these metrics
    "relative_euclidean_distance",
    "max_absolute_error",
    "mean_absolute_error",
    "mean_relative_error",
    "rmse",
    "mismatch_ratio",
    "cosine_similarity + max_absolute_error",
)


@dataclass(frozen=True)
class Spec:
    """One name: the tensors that every rank has of it in every token."""

    name: str
    shape: tuple[int, ...]
    golden: str
    my: str
    content: str = "normal"  # or "empty", "NaN", "zeros": alike on both sides


@dataclass(frozen=True)
class Plan:
    """A drawn run, and the fault that is planted in it."""

    seed: int
    mapping: str
    style: str
    golden_layout: str
    my_layout: str
    golden_suffix: str
    my_suffix: str
    ranks: int
    runs: int
    tokens: int
    specs: tuple[Spec, ...]
    scale: float
    form: str  # the adapter that one side needs
    side: str  # which side that is
    where: str  # how my is found, of a metadata.json: "recorded", "path_map", "my_path"
    copied: bool  # the recorded golden paths are those of before the dump was copied
    decoy: bool  # what stood at recorded paths that no longer count still does, and would pass
    level: int  # how deep golden_path points into the dump of a single process
    selected: bool  # only the token of the fault is compared
    list_suffix: str
    appended: bool  # a .bin has an older record in front
    tolerance: str
    victim: int
    fault: str
    stored: bool  # with an output folder, which keeps the stats

    @property
    def keys(self) -> list[Key]:
        """Every tensor of one side."""
        return [
            (rank, token, spec.name)
            for rank in range(self.ranks * self.runs)
            for token in range(self.tokens)
            for spec in self.specs
        ]

    def spec(self, key: Key) -> Spec:
        """What a tensor is."""
        return next(one for one in self.specs if one.name == key[2])


def _suffix(layout: str, drawn: str) -> str:
    return _OF_FORMAT.get(layout, ".pt" if layout in ("msprobe", "sglang") else drawn)


def _held(suffix: str, dtype: str) -> bool:
    return dtype not in _UNHELD.get(suffix, ())


@st.composite
def _specs(draw: st.DrawFn, names: list[str], suffixes: tuple[str, str], form: str) -> list[Spec]:
    """One for each name; all of one shape, a matrix, where one adapter is for all of them."""
    one_shape = draw(st.sampled_from(_MATRICES))
    specs = []
    for number, name in enumerate(names):
        shape = one_shape if form else draw(st.sampled_from(_SHAPES))
        floating = form == "sum" or draw(st.integers(0, 9)) < 7
        kinds = FLOATS if floating else _EXACT
        golden = draw(st.sampled_from([one for one in kinds if _held(suffixes[0], one)]))
        fitting = [one for one in kinds if _held(suffixes[1], one)] if floating else [golden]
        my = draw(st.sampled_from(fitting))
        # The first is the one that may be struck.
        content = "normal"
        if number and floating:
            content = draw(
                st.sampled_from(["normal"] * 7 + ["NaN", "zeros"] + ["empty"] * (not form))
            )
        if content == "empty":
            shape = (0, *shape[1:])
        specs.append(Spec(name, shape, golden, my, content))
    return specs


@dataclass(frozen=True)
class _Sides:
    style: str
    layouts: tuple[str, str]  # golden's and my's
    suffixes: tuple[str, str]
    ranks: int
    runs: int


@st.composite
def _sides(draw: st.DrawFn, mapping: str) -> _Sides:
    """Two layouts that this mapping can bring together."""
    style = draw(st.sampled_from(list(_LAYOUTS)))
    fit = _LAYOUTS[style]
    golden = "dump_data" if mapping == "metadata" else draw(st.sampled_from(fit))
    my = draw(st.sampled_from([one for one in fit if (mapping, one) != ("metadata", "dump_data")]))
    if mapping == "rules" and "dump_data" in (golden, my):
        golden = my = fit[0]  # shards of ranks have no metadata.json
    drawn = [_suffix(layout, draw(st.sampled_from(_SUFFIXES))) for layout in (golden, my)]
    if mapping in ("tree", "rules") and ".safetensors" in drawn:
        both = golden == my == "folder"  # else the names differ
        apart = [one.replace(".safetensors", ".npy") for one in drawn]
        drawn = [".safetensors"] * 2 if both else apart
    ranks = 1 if "folder" in (golden, my) else draw(st.integers(1, 3))
    reruns = golden in _RERUN and my in _RERUN
    runs = draw(st.sampled_from([1, 1, 1, 2])) if reruns else 1
    return _Sides(style, (golden, my), (drawn[0], drawn[1]), ranks, runs)


def _forms(mapping: str, sides: _Sides) -> list[str]:
    """No adapter, or one of these."""
    forms = ["", "", "", "", "transpose", "reshape", "squeeze", "slice"]
    one_rank = sides.ranks * sides.runs == 1 and "folder" not in sides.layouts
    return forms + ["concat", "sum"] * (mapping == "pairs" or (mapping == "rules" and one_rank))


def _scales(specs: list[Spec]) -> list[float]:
    """What the types hold without overflow, whose sums may not."""
    types = {one for spec in specs for one in (spec.golden, spec.my)} - set(_EXACT)
    scales = [1.0]
    if types <= {"float32", "bfloat16", "float64"}:
        scales += [1e-9, 1e18]
    return scales + [1e200, 1e-200] * (types <= {"float64"})


def _faults(struck: Spec, sides: _Sides, tokens: int) -> list[str]:
    """Those that can be planted."""
    unfit = set() if struck.golden in FLOATS else {"NaN", "noise"}
    unfit |= {"another token"} if tokens == 1 else set()
    unfit |= {"another rank"} if sides.ranks * sides.runs == 1 else set()
    return [one for one in FAULTS if one not in unfit]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A run of any mapping, layout, types and tolerance."""
    mapping = draw(st.sampled_from(_MAPPINGS))
    sides = draw(_sides(mapping))
    form = draw(st.sampled_from(_forms(mapping, sides)))
    texts = _TEXTS if sides.style == "text" else range(4)
    names = [_NAMES[sides.style].format(one) for one in texts][: draw(st.integers(1, 4))]
    specs = draw(_specs(names, sides.suffixes, form))
    tolerance, tokens = draw(st.sampled_from(TOLERANCES)), draw(st.integers(1, 3))
    if tolerance == "assert_close":  # which lets no NaN be
        specs = [replace(one, content="normal") if one.content == "NaN" else one for one in specs]
    return Plan(
        seed=draw(st.integers(0, 2**32 - 1)),
        mapping=mapping,
        style=sides.style,
        golden_layout=sides.layouts[0],
        my_layout=sides.layouts[1],
        golden_suffix=sides.suffixes[0],
        my_suffix=sides.suffixes[1],
        ranks=sides.ranks,
        runs=sides.runs,
        tokens=tokens,
        specs=tuple(specs),
        scale=draw(st.sampled_from(_scales(specs))),
        form=form,
        side=draw(st.sampled_from(["golden", "my"])),
        where=draw(st.sampled_from(["recorded", "path_map", "my_path"])),
        copied=draw(st.booleans()),
        decoy=draw(st.booleans()),
        level=draw(st.integers(0, 4)),
        selected=draw(st.integers(0, 4)) == 0,
        list_suffix=draw(st.sampled_from([".json", ".yaml", ".csv"])),
        appended=draw(st.booleans()),
        tolerance=tolerance,
        victim=draw(st.integers(0, 99)),
        fault=draw(st.sampled_from(_faults(specs[0], sides, tokens))),
        stored=draw(st.integers(0, 4)) == 0,
    )


def torch_type(name: str) -> torch.dtype:
    """The dtype of that name."""
    found: torch.dtype = getattr(torch, name)
    return found
