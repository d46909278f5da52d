"""The README as the distributions carry it: its links lead to the repository that `[project.urls]` names.

Hatchling calls this when it builds. A package index shows the README without the files beside it.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = r"(?![a-z]+:|//)"
LINK = re.compile(rf"(!?)(\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(){RELATIVE}([^)\s]+)")
ATTRIBUTE = re.compile(rf'\b(src|srcset|href)="{RELATIVE}([^"\s]+)')
REFERENCE = re.compile(rf"^(\[[^\]]+\]: ){RELATIVE}(\S+)", re.MULTILINE)
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


class DistributionReadme(MetadataHookInterface):
    """Makes the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README to the metadata."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        repository, tag = metadata["urls"]["Repository"].rstrip("/"), f"v{metadata['version']}"
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, root, repository, tag),
        }


def with_absolute_links(text: str, root: Path, repository: str, tag: str) -> str:
    """The text, with each link to a file of the repository made a link to that file as it was at the tag."""

    def page(target: str) -> str:
        target = f"README.md{target}" if target.startswith("#") else target
        kind = "tree" if (root / target.partition("#")[0]).is_dir() else "blob"
        return f"{repository}/{kind}/{tag}/{target}"

    def picture(target: str) -> str:
        return f"{repository}/raw/{tag}/{target}"

    def absolute(part: str) -> str:
        part = LINK.sub(lambda link: link[1] + link[2] + (picture if link[1] else page)(link[3]), part)
        part = ATTRIBUTE.sub(
            lambda found: f'{found[1]}="{(page if found[1] == "href" else picture)(found[2])}', part
        )
        return REFERENCE.sub(lambda found: found[1] + page(found[2]), part)

    pieces = FENCED.split(text)  # the odd ones are blocks of code
    return "".join(piece if number % 2 else absolute(piece) for number, piece in enumerate(pieces))
