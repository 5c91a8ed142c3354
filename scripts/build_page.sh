#!/usr/bin/env bash
# Builds the code and style of cmp_report.html from frontend/ and the npm packages that its lock file
# pins; they are committed, so that an installation needs no node. With --check: are they as built?
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../frontend"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
if [[ "${1:-}" != --check ]]; then
    exec node build.mjs
fi
built="$(mktemp -d)"
trap 'rm -rf "$built"' EXIT
node build.mjs "file://$built/"
for file in page.js page.css LICENSES.txt; do
    cmp "$built/$file" "../ait_cmp/report/page/$file" || {
        echo "ait_cmp/report/page/$file is not what frontend/ gives; run scripts/build_page.sh" >&2
        exit 1
    }
done
