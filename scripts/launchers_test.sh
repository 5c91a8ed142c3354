#!/usr/bin/env bash
# Runs the tests of sweeps on launchers, and on a Slurm of one node on loopback; arguments go to
# pytest. What cannot be installed here is said in a sentence, and not tested.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if ! python -c 'import submitit, joblib, hydra_plugins.hydra_joblib_launcher' 2>/dev/null &&
    ! install --constraint .venv/constraints.txt --editable '.[joblib,submitit,ray]'; then
    say "the launchers cannot be installed here: sweeps on them are not tested"
    exit 0
fi
has_slurm() { PATH="$PATH:/usr/sbin" command -v munged slurmctld slurmd sbatch >/dev/null; }
if ! has_slurm && [[ "$(id -u)" -eq 0 ]] && command -v apt-get >/dev/null; then
    say "installing Slurm (once) ..."
    export DEBIAN_FRONTEND=noninteractive
    { timeout 120 apt-get update -qq && timeout 300 apt-get install -qq --no-install-recommends \
        slurmctld slurmd slurm-client munge; } >/dev/null 2>&1 </dev/null || true
fi
has_slurm || say "no Slurm here, and none can be installed: sweeps are not tested on it"
python -m pytest tests_launchers "$@"
