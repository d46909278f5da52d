"""A job on several machines: shards, attempts at them, and what one coordinator lends to all workers."""
