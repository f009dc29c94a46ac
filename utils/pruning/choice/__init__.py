"""Which channels stay: costs, limits, budgets."""
