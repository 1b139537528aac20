"""The models that may be asked, and which of them a role's work is given to."""
