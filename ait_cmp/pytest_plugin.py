"""The option `--update-golden` of pytest, by which `assert_matches` writes what it is to match."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["UPDATE", "pytest_addoption", "pytest_configure", "pytest_unconfigure"]

# As the environment, since tests may start processes of their own.
UPDATE = "AIT_CMP_UPDATE_GOLDEN"


def pytest_addoption(parser: Any) -> None:
    """Offer it."""
    parser.getgroup("ait_cmp").addoption(
        "--update-golden",
        action="store_true",
        help="ait_cmp.assert_matches writes the fingerprints that a model is to match",
    )


def pytest_configure(config: Any) -> None:
    """Have `assert_matches` know of it."""
    if config.getoption("--update-golden"):
        os.environ[UPDATE] = "1"


def pytest_unconfigure(config: Any) -> None:
    """And not beyond the tests."""
    if config.getoption("--update-golden"):
        os.environ.pop(UPDATE, None)
