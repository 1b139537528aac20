"""Executions over HTTP: started, read, listed and steered; and the workers' list."""
