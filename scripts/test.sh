#!/usr/bin/env bash
# Runs the tests; arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python -m pytest "$@"
