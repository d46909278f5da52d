"""The patterns: one async function each, and the result it returns."""
