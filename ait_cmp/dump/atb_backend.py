"""Backend `atb`: the environment that ATB and its probe library read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ait_cmp.dump.dump_request import LOG_LEVELS, DumpRequest
from ait_cmp.dump.elf import dynamic_symbols
from ait_cmp.dump.injection import REQUEST, python_path
from ait_cmp.values.errors import UsageError

__all__ = ["TYPES", "is_here", "variables"]

TYPES = frozenset({"model", "layer", "op", "kernel", "tensor", "cpu_profiling"})
_TOOLKIT = "/usr/local/Ascend/ascend-toolkit/latest"  # where it is when nobody says


def is_here(environ: Mapping[str, str]) -> bool:
    """Whether ATB's own set-up script has run in this environment."""
    return bool(environ.get("ATB_HOME_PATH"))


def variables(request: DumpRequest, environ: Mapping[str, str]) -> dict[str, str | None]:
    """The probe's variables; None for those that must be unset.

    Raises UsageError that names what is missing.
    """
    if request.max_bytes is not None:
        raise UsageError(
            "--max-bytes is not offered by backend atb, whose probe writes by itself; narrow it by "
            "--execute-range, --save-operation-ids or --operation-name"
        )
    if request.force_tokens:
        raise UsageError(
            "--force-tokens is not offered by backend atb, which does not choose the tokens; force "
            "those of this run on the other side, with --backend torch"
        )
    if request.dtype:
        raise UsageError(
            "--dtype casts modules of torch, which backend atb does not see; take --backend torch"
        )
    if request.fingerprint:
        raise UsageError(
            "--fingerprint is not offered by backend atb, whose probe writes tensors; make it of "
            "its dump: ait-cmp fingerprint golden_path=DUMP output=X.fp.safetensors"
        )
    library = _atb_library(environ)
    probe = _probe(environ, cxx11_abi=_has_cxx11_abi(library))
    preloaded = environ.get("LD_PRELOAD", "")
    return {
        "ATB_SAVE_TENSOR": "2" if request.only_save_desc else "1",
        "ATB_SAVE_TENSOR_TIME": str(request.save_time),
        "ATB_SAVE_TENSOR_IDS": ",".join(request.save_operation_ids) or None,
        "ATB_SAVE_TENSOR_RUNNER": ",".join(request.operation_name).lower() or None,
        "ATB_SAVE_TENSOR_RANGE": ",".join(f"{a},{b}" for a, b in request.execute_range),
        "ATB_SAVE_CHILD": str(int(request.save_operation_child)),
        "ATB_SAVE_TENSOR_PART": str(request.save_tensor_part),
        "ATB_SAVE_TILING": str(int(request.save_tiling)),
        "ATB_SAVE_CPU_PROFILING": str(int("cpu_profiling" in request.types)),
        "ATB_OUTPUT_DIR": os.path.join(request.output, ""),
        "ATB_DUMP_TYPE": "|".join(request.types),
        "ATB_DEVICE_ID": None if request.device_id is None else str(request.device_id),
        "ATB_CUR_PID": str(os.getpid()),
        "ATB_AIT_LOG_LEVEL": str(LOG_LEVELS[request.log_level]),
        "LD_PRELOAD": f"{probe}:{preloaded}" if preloaded else str(probe),
        "PYTHONPATH": python_path(environ),
        REQUEST: None,  # of a dump around this one: modules are not hooked
    }


def _atb_library(environ: Mapping[str, str]) -> Path:
    home = environ.get("ATB_HOME_PATH")
    if not home:
        raise UsageError(
            "ATB_HOME_PATH is not set; run ATB's set_env.sh first, or take --backend torch"
        )
    library = Path(home, "lib", "libatb.so")
    if not library.is_file():
        raise UsageError(
            f"{library} is missing; set ATB_HOME_PATH to where ATB is, or take --backend torch"
        )
    return library


def _has_cxx11_abi(library: Path) -> bool:
    """Whether `library` was built with the C++11 ABI, whose strings have names of their own.

    The probe's functions tell, since they take strings and are what the probe takes the place
    of; only a library without them is judged by all of its symbols.
    """
    symbols = dynamic_symbols(library)
    return any("cxx11" in name for name in ({n for n in symbols if "Probe" in n} or symbols))


def _probe(environ: Mapping[str, str], *, cxx11_abi: bool) -> Path:
    toolkit = Path(environ.get("ASCEND_TOOLKIT_HOME") or _TOOLKIT)
    if not toolkit.is_dir():
        raise UsageError(
            f"the CANN toolkit is not at {toolkit}; set ASCEND_TOOLKIT_HOME (its set_env.sh does)"
        )
    probe = toolkit / "tools" / "ait_backend" / "dump" / f"libatb_probe_abi{int(cxx11_abi)}.so"
    if not probe.is_file():
        raise UsageError(
            f"{probe} is missing, which a libatb.so {'with' if cxx11_abi else 'without'} the "
            "C++11 ABI needs; install a newer CANN toolkit"
        )
    if not set(str(probe)).isdisjoint(": "):
        raise UsageError(f"{probe} cannot be preloaded, since LD_PRELOAD takes no blanks or colons")
    return probe.absolute()
