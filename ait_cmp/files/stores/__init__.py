"""What stands behind the paths of each store: one of fsspec's file systems, seen as a `Store`.

To add a scheme: a row in `files.packages`; where more can be had of its store than of any, as one
request that tells bytes and state at once, a class in a module here, and a row in `STORES`.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import cast

from ait_cmp.files.packages import PACKAGES
from ait_cmp.files.stores.store import Store, Thing
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import scheme_of

__all__ = ["STORES", "Store", "Thing", "store_of"]

# Scheme -> a module of this package and its class.
STORES = {
    "s3": ("s3", "S3Store"),
    "s3a": ("s3", "S3Store"),
    "http": ("http", "HttpStore"),
    "https": ("http", "HttpStore"),
}


def store_of(url: str) -> Store:
    """What reads `url`. Raises PairError PACKAGE_MISSING, FILE_UNREADABLE."""
    scheme, host = scheme_of(url), url.split("://", 1)[1].partition("/")[0]
    return _store(scheme, f"{scheme}://{host}", os.getpid())


@functools.cache
def _store(scheme: str, root: str, process: int) -> Store:
    del process  # a fork has no connections
    try:
        importlib.import_module("fsspec")
        importlib.import_module(PACKAGES[scheme])
    except ImportError as exc:
        raise PairError(
            Reason.PACKAGE_MISSING,
            f"{root} is read by {PACKAGES[scheme]}, which is not installed; "
            f"{_way_out(PACKAGES[scheme])}",
        ) from exc
    module, name = STORES.get(scheme, ("store", "Store"))
    made = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return cast(Store, made(root))


def _way_out(package: str) -> str:
    extra = "pip install 'ait-cmp[remote]'"
    return extra if package in ("fsspec", "s3fs", "aiohttp") else f"{extra} {package}"
