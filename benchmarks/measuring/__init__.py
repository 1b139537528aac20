"""What a repetition cost: processor time, memory, transactions, log and messages."""
