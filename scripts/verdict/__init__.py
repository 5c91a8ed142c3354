"""The benchmark of verdicts, and the reference rule that it measures."""
