#!/usr/bin/env bash
# The whole job on a small model: dump both sides, compare them, find the planted fault.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show rm -rf quickstart_output
show python scripts/quickstart_model.py golden quickstart_output
show python scripts/quickstart_model.py library quickstart_output
status=0
show python -m ait_cmp golden_path=quickstart_output/golden/ait_dump \
    output=quickstart_output/report || status=$?
if [[ $status -ne 1 ]]; then
    echo "the compare ended with status $status, not with 1 (some row fails)" >&2
    exit 1
fi
printf '\nThe compare ended with status 1: some row fails, as it should.\n'
show python scripts/quickstart_model.py check quickstart_output
