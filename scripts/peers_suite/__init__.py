"""What `scripts/peers` does: other libraries beside this one, as docs/coming-from.md has them.

`page` reads the page. Each library has a module of checks, which `inside` runs in an environment of its own.
`kills` ends the programs in `jobs` in the middle, for docs/many-comparison.md.
"""
