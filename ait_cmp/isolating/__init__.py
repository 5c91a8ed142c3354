"""Each module by itself: my's calls recorded, and golden's modules run on the same inputs.

`structure` goes through arguments, `recording` keeps my's calls with them, `partners` says which
golden module answers which, `replaying` runs that one, and `isolation` makes rows of both.
"""
