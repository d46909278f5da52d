"""What `scripts/peers` does: other libraries beside this one, as docs/coming-from has them.

`page` reads the pages. Each library has a module of checks, which `inside` runs in an environment of its own.
`kills` ends the programs in `jobs` in the middle, for docs/many-comparison.md.
"""
