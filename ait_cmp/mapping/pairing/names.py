"""What a tensor's name says, whoever wrote it: layer, module, which of its tensors."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ait_cmp.mapping.pairing.families import (
    ANYWHERE,
    COUNTED,
    IN_ATTENTION,
    IN_LAYER,
    IN_MLP,
    ON_TOP,
    PARTS,
    WRAPPERS,
    plain,
)

__all__ = ["Module", "Name", "read_names"]

Module = tuple[tuple[int, ...], str, int, str]  # layer, role, occurrence, moment

_OCCURRENCE = re.compile(r"#(\d+)(?=/|$)")
_MSPROBE = re.compile(
    r"(?:Module|Cell)\.(?:(?P<path>.+)\.)?(?P<cls>[A-Za-z_]\w*)\.(?P<when>forward|backward)\."
    r"(?P<call>\d+)\.(?P<kind>input|output|kwargs|parameters|parameters_grad)(?:\.(?P<which>.+))?"
)
_HOOKED = re.compile(
    r"(?:(?P<path>.*)/)?(?P<kind>in|out)(?:(?P<which>\d+(?:\.[\w.]+)?)|\.(?P<called>[\w.]+))"
)
_OPERATION = re.compile(r"(?P<path>.+)/(?P<when>before|after)/(?P<kind>in|out)tensor(?P<which>\d+)")
_PARAMETER = re.compile(
    r"(?P<path>.+)\.(?P<which>weight|bias|weight_scale|scales|qweight|qzeros|weight_scale_inv)"
)
# SGLang's dumper of all modules, whose tags repeat the layer.
_SGLANG = re.compile(
    r"non_intrusive__(?:(?P<path>.+)\.)?(?P<kind>inputs|output)(?:\.(?P<which>\w+))?"
)
_KINDS = {"inputs": "in", "input": "in", "kwargs": "in", "output": "out", "parameters": "param"}
_ORDINAL = re.compile(r"(\d+)_(?=[A-Za-z])")
_NUMBERED = re.compile(r"([a-z_]+?)_?(\d+)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CLASS = re.compile(r"[A-Z]\w*(For[A-Z]\w+|Model|LM|Transformer)")
_TAG = re.compile(r"(\w+)=(.*)", re.DOTALL)
_SAID = re.compile(r"(.+?)_?(output|out|input|in|Output|Input)")
_MODULE_NORM = re.compile(r"norm_(weight|bias)")


@dataclass(frozen=True, slots=True)
class Name:
    """A name, read. `role` is what the module is, in our words where `known`; `kind` is `in`,
    `out`, `param` or nothing where the name does not say; `which` is the operand.

    `pattern` is the text with its layer's numbers taken out: the same in every layer. `path` is
    the module as it was written, `stem` what stands before its layer's number. `layer` is as the
    other side counts, once that is known; `numbers` are those that were written.
    """

    text: str
    layer: tuple[int, ...]
    role: str
    kind: str
    which: str
    occurrence: int
    known: bool
    pattern: str
    when: str = ""
    path: str = ""
    stem: str = ""
    numbers: tuple[int, ...] = ()

    @property
    def module(self) -> Module:
        """What tells its module, and the moment, from all others."""
        return self.layer, self.role, self.occurrence, self.when

    @property
    def key(self) -> tuple[tuple[int, ...], str, int, str, str, str]:
        """What tells it from all others."""
        return (*self.module, self.kind, self.which)

    @property
    def like(self) -> tuple[str, int, str, str, str]:
        """What it is in every layer."""
        return self.role, self.occurrence, self.when, self.kind, self.which


@dataclass(slots=True)
class _Parts:
    """A name on the way: its segments, and what was taken off them."""

    text: str
    segments: list[str]
    kind: str = ""
    which: str = ""
    occurrence: int = 0
    when: str = ""
    layer: tuple[int, ...] = ()
    path: str = ""
    stem: str = ""


def read_names(texts: Iterable[str]) -> list[Name]:
    """All names of one side: what one says may depend on the others."""
    parts = [_taken_apart(text) for text in texts]
    if all("/before/" not in one.text for one in parts):
        for one in parts:
            one.when = "" if one.when == "after" else one.when
    _drop_root(parts)
    _number_operations(parts)
    spelled = {one.segments[-1] for one in parts if one.segments}
    names = [_name(one, spelled) for one in parts]
    if not any(name.kind == "in" for name in names):
        # A plain name is of what its module gives, the first of it.
        names = [
            name if name.kind else replace(name, kind="out", which=name.which or "0")
            for name in names
        ]
    return names


# -- from the text to segments


def _taken_apart(text: str) -> _Parts:
    rest = text.rpartition("::")[2]
    occurrence = 0
    if found := _OCCURRENCE.search(rest):
        occurrence = int(found[1])
        rest = rest[: found.start()] + rest[found.end() :]
    layer: tuple[int, ...] = ()
    if "," in rest:  # name,layer_id=3,…
        rest, *tags = rest.split(",")
        said = {tag[1]: tag[2] for one in tags if (tag := _TAG.fullmatch(one))}
        counted = () if _SGLANG.fullmatch(rest) else ("layer_id",)
        layer = tuple(int(said[key]) for key in counted if said.get(key, "").isdigit())
    parts = _with_operand(text, rest)
    parts.occurrence += occurrence
    parts.layer = layer + parts.layer
    return parts


def _with_operand(text: str, rest: str) -> _Parts:
    """What of the name is the operand, in the spelling of whoever wrote it."""
    if found := _MSPROBE.fullmatch(rest):
        kind = _KINDS.get(found["kind"], found["kind"])
        when = "backward" if found["when"] == "backward" else ""
        path, call = found["path"] or "", int(found["call"])
        return _Parts(text, _segments(path), kind, found["which"] or "0", call, when, path=path)
    if found := _SGLANG.fullmatch(rest):
        path = found["path"] or ""
        kind, which = _KINDS[found["kind"]], found["which"] or "0"
        return _Parts(text, _segments(path), kind, which, path=path)
    if found := _OPERATION.fullmatch(rest):
        # Inputs after the operation ran are what it changed in place.
        changed = "after" if (found["when"], found["kind"]) == ("after", "in") else ""
        path = found["path"]
        return _Parts(text, _segments(path), found["kind"], found["which"], 0, changed, path=path)
    if found := _HOOKED.fullmatch(rest):
        which, path = found["which"] or found["called"], found["path"] or ""
        return _Parts(text, _segments(path), found["kind"], which, path=path)
    if found := _PARAMETER.fullmatch(rest):
        path = found["path"]
        return _Parts(text, _segments(path), "param", found["which"], path=path)
    *outer, last = _segments(rest) or [""]
    if (found := _SAID.fullmatch(last)) and _is_known(_snake(found[1])):
        kind = "in" if found[2].lower().startswith("in") else "out"
        return _Parts(text, [*outer, found[1]], kind, "0", path=rest)
    if last.isdigit() and outer and _snake(outer[-1]) not in COUNTED and "/" not in rest:
        # SGLang's passes number what a module gives, where that is several tensors.
        return _Parts(text, outer, "", last, path=rest.rpartition(".")[0])
    return _Parts(text, [*outer, last] if last else outer, path=rest)


def _is_known(word: str) -> bool:
    return any(word in table for table in (PARTS, COUNTED, ANYWHERE, ON_TOP))


def _segments(path: str) -> list[str]:
    return [one for part in path.split("/") for one in _of_part(part) if one]


def _of_part(part: str) -> list[str]:
    """`1_layers.0` without its ordinal; `3_Decoder_layer` with it, which counts there."""
    ordinal = _ORDINAL.match(part)
    if not ordinal:
        return part.split(".")
    rest = part[ordinal.end() :]
    if COUNTED.get(_snake(rest)) == "layers":
        return [part]
    return rest.split(".")


def _snake(word: str) -> str:
    return plain(_HUMP.sub("_", word).lower().replace("-", "_").replace("__", "_"))


def _drop_root(parts: Sequence[_Parts]) -> None:
    """The outermost module, which paths of operations begin with: `0_LlamaForCausalLM`."""
    first = {one.path.partition("/")[0] for one in parts}
    root = next(iter(first)) if len(first) == 1 else ""
    if _ORDINAL.match(root) and _snake(_ORDINAL.sub("", root)) not in COUNTED:
        for one in parts:
            del one.segments[:1]


def _number_operations(parts: Sequence[_Parts]) -> None:
    """`3_Decoder_layer` and `4_Decoder_layer` in one place are its layers 0 and 1."""
    found: dict[tuple[tuple[str, ...], str], set[int]] = defaultdict(set)
    for one in parts:
        for place, segment in enumerate(one.segments):
            if ordinal := _ORDINAL.match(segment):
                where = tuple(one.segments[:place]), segment[ordinal.end() :]
                found[where].add(int(ordinal[1]))
    ranks = {
        (*where, number): rank
        for where, numbers in found.items()
        for rank, number in enumerate(sorted(numbers))
    }
    for one in parts:
        for place, segment in enumerate(one.segments):
            if ordinal := _ORDINAL.match(segment):
                rest = segment[ordinal.end() :]
                rank = ranks[(tuple(one.segments[:place]), rest, int(ordinal[1]))]
                one.segments = [*one.segments[:place], f"layers.{rank}", *one.segments[place + 1 :]]
                one.segments[place : place + 1] = ["layers", str(rank)]
                break


# -- from segments to what they are


def _name(parts: _Parts, spelled: set[str]) -> Name:
    words, layer, wrapped = _counted(parts)
    role, known = _role(words, bool(layer), spelled)
    if not role:
        role, known = ("layer" if layer else "model" if wrapped else "whole"), True
    which, kind = parts.which, parts.kind
    if norm := _MODULE_NORM.fullmatch(role.rpartition(".")[2]):
        # Megatron keeps a norm within the linear layer that it comes before.
        role = {"qkv_mixed": "norm1", "fc1": "norm2"}.get(role.partition(".")[0], role)
        kind, which = "param", norm[1]
    return Name(
        parts.text,
        layer,
        role,
        kind,
        which,
        parts.occurrence,
        known,
        _pattern(parts.text, layer),
        parts.when,
        parts.path,
        parts.stem,
        layer,
    )


def _counted(parts: _Parts) -> tuple[list[str], tuple[int, ...], bool]:
    """The words of the path, the numbers of what is counted in it, and whether a wrapper was."""
    words: list[str] = []
    layer = list(parts.layer)
    parts.stem = "layer_id" if layer else ""
    wrapped = False
    outermost = parts.segments[:1] and _CLASS.fullmatch(parts.segments[0])
    raw = parts.segments[1:] if outermost else parts.segments
    for place, segment in enumerate(raw):
        word = _snake(segment)
        numbered = _NUMBERED.fullmatch(word)
        if word.isdigit() and words and words[-1] in COUNTED:
            parts.stem = parts.stem or ".".join(raw[:place])
            layer.append(int(word))
            if COUNTED[words.pop()] == "experts":
                words.append("expert")
        elif numbered and COUNTED.get(numbered[1]) == "layers":
            parts.stem = parts.stem or ".".join([*raw[:place], numbered[1]])
            layer.append(int(numbered[2]))
        elif COUNTED.get(word) == "layers" and layer and segment is raw[-1]:
            continue  # layer_output,layer_id=3
        elif word in WRAPPERS or (word in ("decoder", "encoder") and not words and not layer):
            wrapped = True
            if word == "encoder":
                words.append(word)
        else:
            words.append(word)
    return words, tuple(layer), wrapped


def _role(words: Sequence[str], in_layer: bool, spelled: set[str]) -> tuple[str, bool]:
    """What the words name, and whether the tables say so."""
    kept: list[str] = []
    part, known = "", True
    joined = _joined(words)
    for place, word in enumerate(joined):
        found = _meaning(word, part, in_layer, spelled)
        if found in ("attn", "xattn", "mlp"):
            part = found
            if found == "xattn" or place == len(joined) - 1:
                kept.append(found)
            continue
        kept.append(found or word)
        known = known and bool(found)
    return ".".join(kept), known


def _joined(words: Sequence[str]) -> list[str]:
    """BERT's `attention.self` is its attention, `output.dense` and `intermediate.dense` are one."""
    found: list[str] = []
    for word in words:
        before = found[-1] if found else ""
        if word == "dense" and before in ("output", "intermediate"):
            found[-1] = f"{before}_dense"
        elif not (word == "self" and PARTS.get(before) == "attn"):
            found.append(word)
    return found


def _meaning(word: str, part: str, in_layer: bool, spelled: set[str]) -> str:
    """What `word` is within `part` of a layer, as the tables say; nothing where they do not."""
    if part:
        inside = IN_MLP if part == "mlp" else IN_ATTENTION
        if word in inside:
            return _gated(word, inside[word], spelled)
        if part == PARTS.get(word) == "attn":
            return "attn_core"
    if word in PARTS:
        return PARTS[word]
    if word in ANYWHERE:
        return ANYWHERE[word]
    if in_layer and not part and word in IN_LAYER:
        return _norm(word, IN_LAYER[word], spelled)
    if not in_layer and word in ON_TOP:
        return ON_TOP[word]
    return ""


def _gated(word: str, found: str, spelled: set[str]) -> str:
    """w1, w2 and w3 are what Meta calls them only where all three are there."""
    if word in ("w1", "w2", "w3") and not {"w1", "w2", "w3"} <= spelled:
        return ""
    return found


def _norm(word: str, found: str, spelled: set[str]) -> str:
    """Where a norm stands before the MLP, the one behind attention is another."""
    before = {"pre_feedforward_norm", "pre_mlp_norm", "pre_ffn_norm"}
    after = word.startswith("post_attn") and not before.isdisjoint(map(_snake, spelled))
    return "norm1_post" if after else _gated(word, found, spelled)


def _pattern(text: str, layer: tuple[int, ...]) -> str:
    """`text` with a star for the numbers of its layer's segment."""
    if not layer:
        return text
    segments = re.split(r"([/.,])", text)
    for place, segment in enumerate(segments):
        counted = COUNTED.get(_snake(_ORDINAL.sub("", segment).rstrip("0123456789_")))
        if counted and re.search(r"\d", segment):
            segments[place] = re.sub(r"\d+", "*", segment)
        elif segment.isdigit() and place > 1:
            before = _snake(_ORDINAL.sub("", segments[place - 2]))
            if COUNTED.get(before):
                segments[place] = "*"
                segments[place - 2] = re.sub(r"^\d+_", "*_", segments[place - 2])
        elif segment.startswith("layer_id="):
            segments[place] = "layer_id=*"
    return "".join(segments)
