"""From pairs to stats: plan, executor, store."""
