"""What every view of the API shares: who asks, what may come in, what goes wrong."""
