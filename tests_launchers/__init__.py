"""Sweeps whose jobs other processes run: joblib's, submitit's, and a real Slurm's."""
