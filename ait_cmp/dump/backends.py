"""Who writes the tensors: the library's own probe, or hooks on torch's modules.

To add a backend: a function from a request and the environment to the variables that its
processes need, and one row in `BACKENDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ait_cmp.dump import atb_backend, torch_backend
from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.values.errors import UsageError

__all__ = ["BACKENDS", "Backend", "choose", "environment"]

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Backend:
    """`types` that it offers; `is_here`, so that it is chosen by itself; what it needs set.

    `variables` gives the value of each environment variable, None for one to be unset, and
    raises UsageError, naming it, where something is missing.
    """

    types: frozenset[str]
    is_here: Callable[[Environment], bool]
    variables: Callable[[DumpRequest, Environment], dict[str, str | None]]


# In the order in which they are chosen.
BACKENDS: dict[str, Backend] = {
    "atb": Backend(atb_backend.TYPES, atb_backend.is_here, atb_backend.variables),
    "torch": Backend(torch_backend.TYPES, lambda environ: True, torch_backend.variables),
}


def choose(environ: Environment) -> str:
    """The name of the first backend that is here."""
    return next(name for name, backend in BACKENDS.items() if backend.is_here(environ))


def environment(name: str, request: DumpRequest, environ: Environment) -> dict[str, str]:
    """`environ`, changed so that backend `name` does what `request` asks. Raises UsageError."""
    backend = BACKENDS[name]
    for kind in request.types:
        if kind not in backend.types:
            raise UsageError(
                f"--type {kind} is not offered by backend {name}; choose from "
                f"{', '.join(sorted(backend.types))}"
            )
    changed = {**environ, **backend.variables(request, environ)}
    return {key: value for key, value in changed.items() if value is not None}
