# Sourced by the other scripts: makes .venv where there is none, puts it first in PATH, and
# goes to the top folder. $PYTHON (default: python3) is the interpreter to build on; a torch
# that it already has (CUDA, NPU) is kept and used. To start again: rm -rf .venv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What .venv was made from. Other requirements, or another place, and it is brought up to date.
fingerprint() { pwd; cat pyproject.toml constraints.txt; }

say() { echo "$*" >&2; }

create_venv() {
    local base="${PYTHON:-python3}"
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "$base is missing or older than Python 3.11; name another one: PYTHON=/path/to/python3.11"
        return 1
    }
    if ! torch_version "$base" >/dev/null; then
        "$base" -m venv --clear .venv
        return
    fi
    "$base" -m venv --clear --system-site-packages .venv
    # Where the base is itself a virtual environment, the option shows only what lies below it.
    "$base" -c 'import site, sys; print(*site.getsitepackages(), sep="\n")' \
        >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
}

# Read from the metadata: a torch that cannot be loaded just now is still not ours to replace.
torch_version() {
    "$1" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null
}

install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }

make_environment() {
    local version
    say "setting up .venv (once; takes a minute or two) ..."
    .venv/bin/python -c '' 2>/dev/null || create_venv
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip
    install 'pip>=25.1' # --group needs it
    if version="$(torch_version .venv/bin/python)"; then
        say "keeping torch $version"
        echo "torch==$version" >.venv/constraints.txt
    else
        cp constraints.txt .venv/constraints.txt
    fi
    install --constraint .venv/constraints.txt --editable . --group dev
    .venv/bin/python -m ait_cmp.engine.kernel
    fingerprint >.venv/.installed.tmp
    mv .venv/.installed.tmp .venv/.installed # last, so that a setup cut short is done again
}

if [[ "$(fingerprint)" != "$(cat .venv/.installed 2>/dev/null)" ]]; then
    make_environment
fi
export PATH="$PWD/.venv/bin:$PATH"
