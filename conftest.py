"""Settings for every test."""

import gc

from hypothesis import settings

# Hypothesis' deadline is an assertion on time, which a busy machine fails.
# Half of the usual number of examples: the suite runs often, and its random parts add up.
settings.register_profile("patient", settings(), deadline=None, max_examples=50)
settings.register_profile("few", settings(), deadline=None, max_examples=10)  # for one more Python: .ci/run
settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Leave thousands of collected tests out of every garbage collection, which some tests ask for."""
    gc.collect()
    gc.freeze()
