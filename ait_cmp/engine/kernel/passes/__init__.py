"""Passes over one block: each a small loop of its own, so that it becomes vector code."""
