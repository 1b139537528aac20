"""Step runs and events in partitions by time, for those who ask: see docs/partitions.md."""
