"""`python -m ait_cmp.engine.kernel`: compile the loops now, so that nothing else has to."""

from __future__ import annotations

import logging

from ait_cmp.engine.kernel.compiled import load, sketcher

logging.basicConfig(level=logging.INFO, format="%(message)s")
load()
sketcher()
