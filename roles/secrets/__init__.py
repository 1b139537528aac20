"""Named values that configuration refers to, and that nobody reads back."""
