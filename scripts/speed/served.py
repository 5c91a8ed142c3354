"""The kernel of one checkout, warm, for `against` to time: cases in, processor seconds out.

    PYTHONPATH=TREE:TREE/scripts python served.py ELEMENTS

Each line of stdin is a case as JSON, [type, columns (0: flat), with KL]; its answer is a line of
stdout.
"""

from __future__ import annotations

import json
import sys
import time

try:  # Each checkout knows best how its own kernel is called.
    from speed.kernel import fused, pairs
except ImportError:  # up to 0.1.0
    from bench_kernel import _fused as fused  # type: ignore[import-not-found,no-redef]
    from bench_kernel import _pairs as pairs  # type: ignore[no-redef]

made = pairs(int(sys.argv[1]))
for line in sys.stdin:
    name, columns, softmax = json.loads(line)
    pair = [side.reshape(-1, columns) if columns else side for side in made[name]]
    begun = time.process_time()
    fused(name, pair, softmax=softmax)
    print(time.process_time() - begun, flush=True)
