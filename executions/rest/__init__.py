"""What the views of executions are made of: steering one, many, and making copies."""
