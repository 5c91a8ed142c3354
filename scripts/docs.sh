#!/usr/bin/env bash
# Builds the docs site into build/site; a warning is an error. Its tools live in an environment of
# their own, build/docs-env, since nothing else needs them.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
if [[ ! -x build/docs-env/bin/mkdocs ]]; then
    python -m venv build/docs-env
    build/docs-env/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
    build/docs-env/bin/python -m pip install --quiet --disable-pip-version-check --group docs
fi
NO_MKDOCS_2_WARNING=1 build/docs-env/bin/mkdocs build --strict --quiet "$@"
echo "build/site/index.html"
