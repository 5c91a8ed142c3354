#!/usr/bin/env bash
# Checks format, lint, types, who imports whom, and what the docs say is printed; changes nothing.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python -m ruff format --check
python -m ruff check
python -m mypy
lint-imports --no-logo
python scripts/readme_outputs.py
