"""What Python and the compiled loops agree on, all of it.

`arguments` names what the loops are given, `signature` says of which types that is, `flags` how
they are compiled, `kinds` how they know an element type. Results are the numbers of `Stats`, at
the places that its table of fields gives them (`engine.stats.SLOTS`). `thresholds` and `tables`
make the arguments of a pair.
"""
