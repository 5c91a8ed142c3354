"""The options of the original's `llm compare`: what each is here, or what takes its place."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from ait_cmp.commands.say import remark
from ait_cmp.values.errors import UsageError
from ait_cmp.values.overrides import AS_ORIGINAL, quoted

__all__ = ["add_arguments", "overrides"]

# The original's level -> ours.
_LEVELS = {
    **{level: level for level in ("debug", "info", "warning", "error")},
    "warn": "warning",
    **dict.fromkeys(("fatal", "critical"), "error"),
}
_CMP_LEVELS = ("layer", "module", "api", "logits")
_MAPPING_FILES = (".yaml", ".yml")
# What is not here -> what takes its place.
_INSTEAD = {
    "cmp_level": "-cl {0} chooses nothing here, where all that was dumped is compared; choose rows "
    "by name: ait-cmp golden_path=… 'data_ids=*lm_head*'",
    "mapping_file": "-mf {0} is read as rules where it is YAML; write the pairs as a list and pass "
    "it as -gp LIST.yaml, or let python -m ait_cmp.pair propose them",
    "rank": "-r {0} chooses nothing here, where the rows of all ranks are compared; name the "
    "folders of one rank as -gp and -mp",
    "weight": "-w dequantises weights, which ait_cmp does not; save the dequantised ones and "
    "compare both checkpoints by name, without -w",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, by the original's names."""
    add = parser.add_argument
    add(
        *("--golden-path", "-gp"),
        required=True,
        help="dump folder, golden_tensor folder, ait_dump root, or one tensor file",
    )
    add(*("--my-path", "-mp"), help="one tensor file, or the folder that holds the my tensors")
    add("--reference-path", help="a trusted run of my's type, as reference_path takes it")
    add("--log-level", "-l", choices=tuple(_LEVELS), default="info", type=str.lower)
    add("--output", "-o", default="./", help="where the report goes")
    add(
        *("--op-mapping-file", "-mf"),
        dest="mapping_file",
        metavar="FILE.yaml",
        help="rules of names, as mapping=FILE.yaml takes them",
    )
    add(
        *("--cmp-level", "-cl"),
        choices=_CMP_LEVELS,
        help="layer, module and api: all levels that were dumped are compared",
    )
    add("--stats", "-st", action="store_true", help="compare statistics where no tensors are")
    refused = "refused, with what takes its place"
    add("--rank", "-r", help=refused)
    add("--weight", "-w", action="store_true", help=refused)
    add(
        *("--custom-algorithms", "-alg"),
        nargs="+",
        metavar="FILE.py:FUNCTION",
        help="metrics of your own, as metrics.extra takes them; they are run",
    )


def overrides(arguments: argparse.Namespace) -> Iterator[str]:
    """The settings that `arguments` ask for. Raises UsageError for what is not here."""
    mapping, level = arguments.mapping_file, arguments.cmp_level
    refused = {
        "cmp_level": level if level == "logits" else None,
        "mapping_file": mapping if mapping and not mapping.endswith(_MAPPING_FILES) else None,
        **{name: getattr(arguments, name) for name in ("rank", "weight")},
    }
    for name, value in refused.items():
        if value:
            raise UsageError(_INSTEAD[name].format(value))
    if level:
        remark(f"ait llm compare: -cl {level}: all levels that were dumped are compared")
    if arguments.stats:
        remark("ait llm compare: -st: statistics are compared where a dump has no tensors")
    settings = {
        "golden_path": arguments.golden_path,
        "my_path": arguments.my_path,
        "reference_path": arguments.reference_path,
        "output": arguments.output,
        "log_level": _LEVELS[arguments.log_level],
        "mapping": mapping,
    }
    yield from (f"{key}={quoted(value)}" for key, value in settings.items() if value)
    if own := arguments.custom_algorithms:
        yield f"metrics.extra=[{','.join(quoted(f'{one}:{AS_ORIGINAL}') for one in own)}]"
