"""`make demo-real`: the demo, promises of the library, and a table of quality, on a real model."""
