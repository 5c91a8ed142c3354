#!/usr/bin/env bash
# Runs the tests of paths in buckets and on web servers, against servers on loopback; arguments go
# to pytest. Where the servers cannot be installed, a sentence says so.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if ! python -c 'import aiohttp, moto.server, s3fs' 2>/dev/null &&
    ! install --constraint .venv/constraints.txt --editable '.[remote]' --group remote-tests; then
    say "s3fs and moto cannot be installed: paths in buckets are not tested"
    exit 0
fi
python -m pytest tests_remote --numprocesses 2 --dist loadfile "$@"
