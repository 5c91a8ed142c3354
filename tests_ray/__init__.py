"""executor=ray on real clusters: two nodes on loopback."""
