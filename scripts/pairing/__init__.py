"""What scripts/pairing_bench.py is made of."""
