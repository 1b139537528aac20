"""The demo: orchestrations on real work, seeded once and free to be edited."""
