"""The engine under the patterns: runs and budgets, retries, parallel work, convergence, JSON extraction."""
