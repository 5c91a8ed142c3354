"""Run a command so that its tensors are dumped: `ait llm dump`, also `ait-cmp dump`."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from ait_cmp.commands.one_file import OneFile, in_one_file
from ait_cmp.commands.output_folder import local_output, output_folder
from ait_cmp.commands.run_options import (
    add_device_id,
    add_exec,
    add_log_level,
    add_operation_name,
    add_switch,
)
from ait_cmp.commands.say import remark
from ait_cmp.commands.status import ExitStatus, status_of
from ait_cmp.commands.switching import Switch, switch_by
from ait_cmp.dump.backends import BACKENDS, choose, environment
from ait_cmp.dump.dump_request import (
    DTYPES,
    TYPES,
    DumpRequest,
    id_list,
    name_list,
    range_list,
    refuse_topology,
)
from ait_cmp.dump.launch import run_command, split_command
from ait_cmp.dump.room import byte_count
from ait_cmp.dump.summary import Summary, dumped_files, summarize
from ait_cmp.dump_tree import FINGERPRINTS, is_fingerprint_file
from ait_cmp.values.errors import AitCmpError, UsageError

__all__ = ["add_arguments", "dump", "make_parser"]

_SWITCH = {
    **dict.fromkeys(("yes", "true", "t", "y", "1"), True),
    **dict.fromkeys(("no", "false", "f", "n", "0"), False),
}
_SHELL_WORDS = {"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>"}
_WHY_NOTHING = {
    "torch": (
        "is a torch.nn.Module called in one of the rounds of --execute-range, does the filter "
        "match, does the command start Python with PYTHONPATH (not with -I, -E or -S), and is "
        "the model not all inside torch.compile, where no module is seen?"
    ),
    "atb": (
        "does the command use ATB, in one of the rounds of --execute-range, does the filter "
        "match, and does it keep LD_PRELOAD and the ATB_ variables?"
    ),
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of `ait-cmp dump`."""
    parser = argparse.ArgumentParser(prog="ait-cmp dump", description=__doc__)
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, by the original's names."""
    add = parser.add_argument
    add_exec(parser)
    add(
        "--type",
        nargs="+",
        default=["tensor"],
        metavar="TYPE",
        help=f"what to dump: {', '.join(TYPES)} (default: tensor)",
    )
    add("--only-save-desc", "-sd", action="store_true", help="type and shape of tensors, no data")
    _add_selection(parser)
    _add_tensors(parser)
    add(
        "--fingerprint",
        "-fp",
        action="store_true",
        help="fingerprints, not tensors: a hundredth of the bytes, compared like a dump (torch)",
    )
    add(
        "--output",
        "-o",
        default="./",
        help="the folder that gets ait_dump/ (default: this one); with -fp also X.fp.safetensors",
    )
    add(
        "--max-bytes",
        metavar="SIZE",
        help="stop dumping, not the command, after so many bytes: 2000000, 20GB, 4GiB (torch)",
    )
    add(
        "--force-tokens",
        metavar="FILE",
        help="make transformers' generate choose these tokens: a list of ids in JSON or text, or "
        "golden's dump (torch)",
    )
    add(
        "--dtype",
        choices=DTYPES,
        help="cast the modules that the script calls, and what it gives them, to this type: so an "
        "unmodified script makes the reference of a run in it (torch; default: as they are)",
    )
    add_device_id(parser)
    add_log_level(parser)
    add(
        "--backend",
        choices=tuple(BACKENDS),
        help="who dumps: ATB's probe or hooks on torch modules (default: atb where ATB is)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    """Which calls are dumped."""
    add = parser.add_argument
    add(
        "--save-operation-ids",
        "-ids",
        default="",
        metavar="2,3_1",
        help="only these operations (default: all)",
    )
    add(
        "--execute-range",
        "-er",
        default="0,0",
        metavar="FIRST,LAST",
        help="token rounds, as closed ranges: 3,5,7,7 (default: 0,0)",
    )
    add(
        "--save-operation-child",
        "-child",
        type=_switch,
        default=True,
        metavar="BOOL",
        help="with --save-operation-ids: also what these call (default: true)",
    )
    add_operation_name(parser)
    add_switch(parser, "dump only calls that begin while this file exists")


def _add_tensors(parser: argparse.ArgumentParser) -> None:
    """What is dumped of a call."""
    add = parser.add_argument
    add(
        "--save-time",
        "-time",
        type=int,
        choices=(0, 1, 2),
        default=1,
        help="0: before an operation runs, 1: after, 2: both (default: 1)",
    )
    add("--save-tiling", "-tiling", action="store_true", help="tiling data too (atb)")
    add(
        "--save-tensor-part",
        "-stp",
        type=int,
        choices=(0, 1, 2),
        default=2,
        help="0: inputs, 1: outputs, 2: both (default: 2)",
    )


def dump(arguments: argparse.Namespace) -> int:
    """Run what `add_arguments` parsed; the exit status is the command's, 2 for bad usage."""
    try:
        with (
            tempfile.NamedTemporaryFile(prefix="ait_dump") as counter,
            tempfile.NamedTemporaryFile("w", prefix="ait_tokens", suffix=".json") as tokens,
            switch_by(arguments.switch, "ait llm dump") as switch,
            _one_file(arguments) as one_file,
        ):
            return _dump(arguments, one_file, counter.name, tokens, switch)
    except AitCmpError as exc:
        _say(f"error: {exc}")
        return status_of(exc)


@contextmanager
def _one_file(arguments: argparse.Namespace) -> Iterator[OneFile | None]:
    """What is made of the fingerprints of all processes, where one file is asked for."""
    output = local_output(arguments.output)
    if not is_fingerprint_file(output):
        if output.endswith(".safetensors"):
            raise UsageError(
                f"--output {output} must be a folder, or with --fingerprint X{FINGERPRINTS}"
            )
        yield None
        return
    if not arguments.fingerprint:
        raise UsageError(f"--output {output} is a file of fingerprints: pass --fingerprint as well")
    refuse_topology(arguments.type, output)
    output_folder(os.path.dirname(output))
    with in_one_file(output) as one_file:
        yield one_file


def _dump(
    arguments: argparse.Namespace,
    one_file: OneFile | None,
    counter: str,
    tokens: IO[str],
    switch: Switch,
) -> int:
    place = str(one_file.folder) if one_file else os.path.abspath(arguments.output)
    try:
        backend = arguments.backend or choose(os.environ)
        forced = _write_forced(arguments.force_tokens, tokens)
        request = replace(_request(arguments, place, counter, forced), switch=switch.path)
        command = split_command(arguments.exec)
        environ = environment(backend, request, os.environ)
        output = output_folder(request.output)
        if words := _SHELL_WORDS.intersection(command):
            _say(f"{' '.join(sorted(words))} is passed on as it is; a shell takes bash -c '…'")
        before = dumped_files(output)
        status = run_command(command, environ, switch.heard)
    except UsageError as exc:
        _say(f"error: {exc}")
        return ExitStatus.USAGE
    found = summarize(output, before)
    if one_file:
        path = one_file.made()
        found = found.in_file(arguments.output if path == one_file.path else path)
    for sentence in found.sentences(only_described=request.only_save_desc):
        _say(sentence)
    _tell_odd(found, backend, status, arguments.switch)
    return status


def _write_forced(path: str | None, tokens: IO[str]) -> str:
    """The file that tells each process which tokens to choose; empty where none are forced."""
    if path is None:
        return ""
    from ait_cmp.commands.forced_tokens import forced_tokens  # heavy, and rare

    calls = forced_tokens(path)
    json.dump(calls, tokens)
    tokens.flush()
    longest = max(len(sequence) for batch in calls for sequence in batch)
    _say(f"forcing up to {longest} tokens in {len(calls)} calls of generate")
    return tokens.name


def _request(arguments: argparse.Namespace, place: str, counter: str, forced: str) -> DumpRequest:
    return DumpRequest(
        output=place,
        types=tuple(dict.fromkeys(arguments.type)),
        only_save_desc=arguments.only_save_desc,
        save_operation_ids=id_list(arguments.save_operation_ids),
        execute_range=range_list(arguments.execute_range),
        save_operation_child=arguments.save_operation_child,
        save_time=arguments.save_time,
        operation_name=name_list(arguments.operation_name),
        save_tiling=arguments.save_tiling,
        save_tensor_part=arguments.save_tensor_part,
        device_id=arguments.device_id,
        log_level=arguments.log_level,
        max_bytes=None if arguments.max_bytes is None else byte_count(arguments.max_bytes),
        counter=counter,
        force_tokens=forced,
        dtype=arguments.dtype or "",
        fingerprint=arguments.fingerprint,
    )


def _tell_odd(summary: Summary, backend: str, status: int, switch: str) -> None:
    """What a command did that leaves a dump incomplete, or empty."""
    if status:
        _say(f"the command ended with status {status}, so the dump may be incomplete")
    elif not summary.tensors and not summary.others:
        off = f"was it switched on ({switch}) when a call began, " if switch else ""
        _say(off + _WHY_NOTHING[backend])


def _say(sentence: str) -> None:
    remark(f"ait llm dump: {sentence}")


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return _SWITCH[text.lower()]
