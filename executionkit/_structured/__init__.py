"""Structured output: what `structured` and `answers.structured` share."""
