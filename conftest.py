"""Settings for every test."""

from hypothesis import settings

# Hypothesis' deadline is an assertion on time, which a busy machine fails.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")
