"""Executions as they happen: the event log as a stream that viewers can resume."""
