"""The changelog as data, and what a release takes from it.

`python scripts/changelog.py v0.2.0` prints the section of a version as the notes of its release. It fails if
the tag is not the version in `executionkit/_version.py`, or if that version has no dated section.
"""

import re
import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""What Keep a Changelog 1.1.0 has, in its order."""

HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$")


@dataclass
class Section:
    """The changes of one version. `date` is None for those that are not released."""

    version: str
    date: str | None
    lines: list[str] = field(default_factory=list[str])


def sections(text: str) -> list[Section]:
    """The sections of a changelog, the newest first."""
    found: list[Section] = []
    for line in text.splitlines():
        if heading := HEADING.match(line):
            found.append(Section(heading["version"], heading["date"]))
        elif line.startswith("## "):
            raise ValueError(f"no heading of a version: {line!r}")
        elif found:
            found[-1].lines.append(line)
    return found


def notes(text: str, tag: str, version: str) -> str:
    """The notes of the release that a tag makes."""
    if tag != f"v{version}":
        raise ValueError(f"the tag {tag!r} is not 'v{version}', the version in executionkit/_version.py")
    for section in sections(text):
        if section.version == version and section.date:
            return "\n".join(section.lines).strip() + "\n"
    raise ValueError(f"CHANGELOG.md has no section '## [{version}] - DATE'")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/changelog.py TAG")
    current = runpy.run_path(str(ROOT / "executionkit" / "_version.py"))["__version__"]
    try:
        print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), sys.argv[1], current), end="")
    except ValueError as mistake:
        sys.exit(str(mistake))
