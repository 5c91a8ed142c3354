"""A model watched while it runs: each module's output judged as it appears, without a dump.

`watch` goes along with the calls of my, `twin` runs golden beside it, one step at a time,
`arguments` gives it the same call, and `random_state` keeps apart what both draw.
"""
