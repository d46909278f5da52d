"""What `scripts/peers` does: other libraries beside this one, as the page docs/coming-from.md has them.

`page` reads the page. Each library has a module of checks, which runs in an environment of its own.
"""
