#!/usr/bin/env bash
# Runs the tests, a process a core and at most 4; arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal "$@"
