#!/usr/bin/env bash
# Runs the tests of cmp_report.html in Chromium; arguments go to pytest. Where there is none it is
# installed, if this user may (Debian, root); where it cannot be had, or cannot start, a sentence
# says so.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

if ! find_chromium >/dev/null && [[ "$(id -u)" -eq 0 ]] && command -v apt-get >/dev/null; then
    say "installing chromium (once) ..."
    export DEBIAN_FRONTEND=noninteractive
    { timeout 120 apt-get update -qq && timeout 300 apt-get install -qq --no-install-recommends \
        chromium fonts-noto-cjk; } >/dev/null 2>&1 </dev/null || true
fi
if ! AIT_CMP_CHROMIUM="$(find_chromium)"; then
    say "no Chromium here, and none can be installed: the page is not tested in a browser"
    exit 0
fi
export AIT_CMP_CHROMIUM
if ! timeout 60 "$AIT_CMP_CHROMIUM" --headless --no-sandbox --dump-dom about:blank >/dev/null 2>&1
then
    say "$AIT_CMP_CHROMIUM does not start here: the page is not tested in a browser"
    exit 0
fi
if ! python -c 'import playwright' 2>/dev/null && ! install --group browser; then
    say "playwright cannot be installed: the page is not tested in a browser"
    exit 0
fi
python -m pytest tests_browser -s "$@"
