"""The stats of a pair by torch operations, on the device that its tensors are on.

`accumulator` is the engine, `values` makes float64 of the elements, `sums` the stats of a block of
them and `slices` the sums by line and channel. Nothing waits for the device, and nothing leaves it,
before all is asked for at once.
"""
