#!/usr/bin/env bash
# Runs the tests of executor=ray on clusters of this machine; arguments go to pytest. Where Ray
# cannot be installed a sentence says so.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if ! python -c 'import ray' 2>/dev/null &&
    ! install --constraint .venv/constraints.txt --editable '.[ray]'; then
    say "Ray cannot be installed here: executor=ray is not tested"
    exit 0
fi
python -m pytest tests_ray "$@"
