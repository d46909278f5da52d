"""The back ends that the library has; run, it prints the extras that install them."""

from typing import get_args, get_type_hints

from executionkit import Provider

BACKENDS: list[str] = [name for name in get_args(get_type_hints(Provider)["backend"]) if name != "auto"]

if __name__ == "__main__":
    print(",".join(name for name in BACKENDS if name != "stdlib"))
