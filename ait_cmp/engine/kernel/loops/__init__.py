"""The loops over blocks that fit the first-level cache: `narrow` for types that float32 holds,
`wide` for the others, and `reduction` over the tables of a whole pair."""
