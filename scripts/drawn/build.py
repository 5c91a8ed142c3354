"""A plan as files on disk, with what a user would type to compare them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from drawn.files import write_dump, write_metadata
from drawn.plan import FLOATS, Key, Plan, Spec, torch_type
from drawn.tolerances import write_tolerance

__all__ = ["Built", "build", "golden_tensors", "honest", "plant", "victim"]

Tensors = dict[Key, torch.Tensor]


@dataclass
class Built:
    """What was built, and the settings of the comparison."""

    folder: Path
    golden: Mapping[Key, tuple[str, ...]]  # where the parts of each tensor are
    my: Mapping[Key, tuple[str, ...]]
    settings: dict[str, Any] = field(default_factory=dict)
    named: tuple[Path, ...] = ()  # folders of which the user expects every tensor to be told

    def keywords(self) -> dict[str, Any]:
        """For `ait_cmp.compare_dumps`."""
        return {"executor": "serial", **self.settings}

    def words(self) -> list[str]:
        """For the command."""
        words = [f"output={self.folder / 'out'}"]
        for name, value in self.settings.items():
            if name == "path_map":
                pairs = ", ".join(f"{old}: {new}" for old, new in value.items())
                words.append(f"path_map={{{pairs}}}")
            elif name in ("golden_adapters", "my_adapters"):
                words.append(f"mapping.{name}='{value}'")
            elif name in ("golden_path", "my_path", "tokens"):
                words.append(f'{name}="{value}"')  # with any character
        for group in ("mapping", "tolerance"):
            value = self.settings.get(group, "auto" if group == "mapping" else "dtype")
            words.append(f"{group}={Path(value).stem}")
        return [*words, "--config-dir", str(self.folder / "conf")]


# -- the tensors


def _values(plan: Plan, spec: Spec, generator: torch.Generator) -> torch.Tensor:
    dtype = torch_type(spec.golden)
    if spec.golden == "bool":
        return torch.randint(0, 2, spec.shape, generator=generator).bool()
    if spec.golden not in FLOATS:
        low = 0 if spec.golden == "uint8" else -90
        return torch.randint(low, 90, spec.shape, generator=generator).to(dtype)
    values = torch.randn(spec.shape, generator=generator, dtype=torch.float64)
    values += values.sign() * 0.05  # nothing so near zero that rounding is large beside it
    if spec.content == "NaN":
        values.fill_(math.nan)
    return (values * (0.0 if spec.content == "zeros" else plan.scale)).to(dtype)


def golden_tensors(plan: Plan) -> Tensors:
    """What the model computed."""
    generator = torch.Generator().manual_seed(plan.seed)
    return {key: _values(plan, plan.spec(key), generator) for key in plan.keys}


def honest(plan: Plan, golden: Tensors) -> tuple[Tensors, Tensors]:
    """Golden, and what an honest library makes of it: rounded to my's type, nothing else. Under
    `strict` golden has no more digits than my."""
    my = {key: one.to(torch_type(plan.spec(key).my)) for key, one in golden.items()}
    if plan.tolerance != "strict":
        return golden, my
    rounded = {key: my[key].to(one.dtype) for key, one in golden.items()}
    return rounded, {key: one.to(my[key].dtype) for key, one in rounded.items()}


# -- adapters


def _parts(form: str, tensor: torch.Tensor) -> list[torch.Tensor]:
    """`tensor` as it is stored where that adapter is needed."""
    rows = len(tensor) if tensor.ndim else 0
    match form:
        case "transpose":
            return [tensor.transpose(0, 1).contiguous()]
        case "reshape":
            return [tensor.reshape(-1)]
        case "squeeze":
            return [tensor.unsqueeze(0)]
        case "slice":  # of a fused one
            return [torch.cat([torch.ones_like(tensor), tensor])]
        case "concat":
            return [tensor[: rows // 2], tensor[rows // 2 :]]
        case "sum":
            return [tensor, torch.zeros_like(tensor)]
    return [tensor]


def _adapters(form: str, shape: tuple[int, ...]) -> str:
    return {
        "": "",
        "transpose": "transpose(0, 1)",
        "reshape": f"reshape({', '.join(map(str, shape))})",
        "squeeze": "squeeze(0)",
        "slice": f"slice({shape[0] if shape else 0}:{2 * shape[0] if shape else 0})",
        "concat": "concat(0)",
        "sum": "sum()",
    }[form]


def _stored(plan: Plan, side: str, tensors: Tensors) -> dict[Key, list[torch.Tensor]]:
    form = plan.form if side == plan.side else ""
    return {key: _parts(form, one) for key, one in tensors.items()}


# -- folders


def _write_side(
    plan: Plan, side: str, folder: Path, tensors: Tensors, before: Tensors
) -> dict[Key, tuple[str, ...]]:
    layout = plan.golden_layout if side == "golden" else plan.my_layout
    suffix = plan.golden_suffix if side == "golden" else plan.my_suffix
    by_rank = plan.mapping == "rules"  # where the shards of ranks are joined
    keys: dict[Key, list[Key]] = {}
    flat: list[Tensors] = []
    for newest, of_what in ((True, tensors), (False, before)):
        parts = _stored(plan, side, of_what)
        flat.append({})
        for (rank, token, name), some in parts.items():
            for number, part in enumerate(some):
                shard = number if by_rank else 0
                named = name if by_rank or not number else f"{name} part {number}"
                part_key = (rank + shard, token, named)
                flat[-1][part_key] = part
                if newest:
                    keys.setdefault((rank, token, name), []).append(part_key)
    places = write_dump(layout, suffix, folder, flat[0], plan.runs, flat[1])
    if layout == "dump_data":
        write_metadata(places, {key: (place, "my.bin") for key, place in places.items()})
    return {key: tuple(places[part] for part in some) for key, some in keys.items()}


def build(plan: Plan, folder: Path, golden: Tensors, my: Tensors) -> Built:
    """Everything in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    golden_places = _write_side(plan, "golden", folder / "golden", golden, {})
    before = my if plan.appended else {}
    my_places = _write_side(plan, "my", folder / "my", my, before)
    built = Built(folder, golden_places, my_places)
    built.settings["tolerance"] = write_tolerance(plan, folder / "conf", golden)
    {
        "metadata": _metadata,
        "tree": _tree,
        "rules": _rules,
        "pairs": _pairs,
        "files": _files,
    }[plan.mapping](plan, built)
    if plan.selected and plan.mapping != "files":
        built.settings["tokens"] = str(victim(plan)[1])
    if plan.mapping in ("metadata", "tree", "files") and plan.form:
        text = _adapters(plan.form, plan.specs[0].shape)
        built.settings[f"{plan.side}_adapters"] = text
    return built


def plant(plan: Plan, built: Built, golden: Tensors, my: Tensors, faulty: torch.Tensor) -> None:
    """The faulty run in the place of the honest one. Where it once stood, and what would pass
    there: an honest my, and a golden like the faulty my."""
    struck = victim(plan)
    before = my if plan.appended else {}
    _write_side(plan, "my", built.folder / "my", {**my, struck: faulty}, before)
    if plan.mapping == "metadata" and plan.decoy:
        moved = built.folder / "before"
        _write_side(plan, "my", moved / "my", my, {})
        alike = {**golden, struck: faulty.to(golden[struck].dtype)}
        _write_side(plan, "golden", moved / "golden", alike, {})


def _metadata(plan: Plan, built: Built) -> None:
    folder, moved = built.folder, built.folder / "before"
    path = _golden_path(plan, built)
    built.settings |= {"golden_path": str(path), "mapping": "metadata"}
    built.named = () if path.suffix else (path,)
    entries = {}
    for key, (golden,) in built.golden.items():
        (my,) = built.my[key]
        where = my if plan.where == "recorded" else my.replace(str(folder), str(moved), 1)
        old = golden.replace(str(folder), str(moved), 1) if plan.copied else golden
        entries[key] = (old, where)
    write_metadata({key: golden for key, (golden,) in built.golden.items()}, entries)
    if plan.where == "path_map":
        built.settings["path_map"] = {str(moved / "my"): str(folder / "my")}
    elif plan.where == "my_path":
        built.settings["my_path"] = str(folder / "my")


def _golden_path(plan: Plan, built: Built) -> Path:
    """One of the paths that a user may call the dump."""
    file = Path(next(iter(built.golden.values()))[0])
    metadata = file.parent.parent / "metadata.json"
    if plan.ranks * plan.runs > 1:
        return metadata.parents[2] if plan.level % 2 else metadata.parents[3]
    return metadata if plan.level == 4 else metadata.parents[3 - plan.level]


def _tree(plan: Plan, built: Built) -> None:
    _two_folders(built)
    built.settings["mapping"] = "tree"


def _two_folders(built: Built) -> None:
    built.named = (built.folder / "golden", built.folder / "my")
    built.settings |= {"golden_path": str(built.named[0]), "my_path": str(built.named[1])}


def _rules(plan: Plan, built: Built) -> None:
    _two_folders(built)
    rule = {"golden": "(?P<n>.*)", "my": "{n}"}
    if plan.form:
        rule[f"{plan.side}_adapters"] = _adapters(plan.form, plan.specs[0].shape)
    path = built.folder / "conf" / "mapping" / "drawn.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"kind": "rules", "rules": [rule]}))
    built.settings["mapping"] = str(path)


def _pairs(plan: Plan, built: Built) -> None:
    entries = []
    for key, golden in built.golden.items():
        rank, token, name = key
        entry: dict[str, Any] = {
            "data_id": f"{name} of {rank}",
            "token_id": token,
            "golden": golden[0] if len(golden) == 1 else list(golden),
            "my": built.my[key][0] if len(built.my[key]) == 1 else list(built.my[key]),
        }
        if plan.form:
            entry[f"{plan.side}_adapters"] = _adapters(plan.form, plan.spec(key).shape)
        entries.append(entry)
    path = built.folder / f"pairs{plan.list_suffix}"
    if plan.list_suffix == ".csv":
        _write_csv(path, entries)
    else:
        path.write_text(json.dumps(entries))  # which is YAML, too
    built.settings |= {"golden_path": str(path), "mapping": "pairs"}


def _write_csv(path: Path, entries: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(entries[0]))
        writer.writeheader()
        for entry in entries:
            joined = {
                key: " + ".join(value) if isinstance(value, list) else value
                for key, value in entry.items()
            }
            writer.writerow(joined)


def _files(plan: Plan, built: Built) -> None:
    key = victim(plan)
    built.settings |= {
        "golden_path": built.golden[key][0],
        "my_path": built.my[key][0],
        "mapping": "files",
    }


def victim(plan: Plan) -> Key:
    """The tensor in which the fault is planted."""
    struck = [key for key in plan.keys if key[2] == plan.specs[0].name]
    return struck[plan.victim % len(struck)]
