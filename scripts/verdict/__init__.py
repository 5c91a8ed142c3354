"""The models and the faults of the benchmark of verdicts."""
