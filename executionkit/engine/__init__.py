"""The machinery under the patterns: runs, retry, gathering, convergence, extraction."""
