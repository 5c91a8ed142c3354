#!/usr/bin/env bash
# Checks format, lint, types and who imports whom; changes nothing.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python -m ruff format --check
python -m ruff check
python -m mypy
lint-imports --no-logo
