"""Names of what sends tokens to experts."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["is_routed"]

_ROUTED = re.compile(r"expert|rout|moe|(?:^|[./_])gate(?=$|[./_])", re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_routed(name: str) -> bool:
    """Whether a tensor of this name is of experts, or of what chooses them."""
    return bool(_ROUTED.search(name))
