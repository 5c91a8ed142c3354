"""Plain values and errors that every room speaks of."""
