"""
What agents spend, and how much they may: the ledger, budgets, reports.

Budgets are reserved from before each call of a model and settled after it; the ledger
keeps every call, whatever became of its attempt. Nothing here writes a status.
"""
