"""What a release says of itself: the changelog, the version, and the README as an index shows it."""

import importlib.metadata
import re
import tomllib

import changelog
import pytest
from pages import ROOT

from executionkit import __version__

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    first, *released = changelog.sections(TEXT)
    assert (first.version, first.date) == ("Unreleased", None)
    assert released[0].version == __version__
    dates = [section.date for section in released]
    assert all(dates)
    assert dates == sorted(dates, key=str, reverse=True)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert f'\ndate-released: "{released[0].date}"\n' in citation


def test_each_change_is_one_line_of_an_allowed_kind() -> None:
    faults: list[str] = []
    for section in changelog.sections(TEXT):
        kinds = [line[4:] for line in section.lines if line.startswith("### ")]
        if [kind for kind in changelog.KINDS if kind in kinds] != kinds:
            faults.append(f"{section.version}: {kinds}")
        begun = False
        for line in section.lines:
            begun = begun or line.startswith("### ")
            if begun and (len(line) > 125 or not re.match(r"(?:- [^ ].*[.?!]|#{3,4} [A-Z].*|)$", line)):
                faults.append(line)
    assert faults == []


@pytest.mark.parametrize(
    ("tag", "text"),
    [("v0.2.1", "## [0.2.0] - 2026-12-01\n"), ("v0.2.0", "## [0.2.0]\n"), ("v0.2.0", "## [Unreleased]\n")],
    ids=["another tag", "no date", "no section"],
)
def test_no_release_without_a_dated_section(tag: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"0\.2\.0"):
        changelog.notes(text, tag, "0.2.0")


def test_the_notes_of_a_release_are_its_section() -> None:
    text = "## [Unreleased]\n\n## [2.0] - 2026-12-01\n\n### Fixed\n\n- b\n\n## [1.0] - 2026-11-01\n- c\n"
    assert changelog.notes(text, "v2.0", "2.0") == "### Fixed\n\n- b\n"


def test_the_readme_of_the_distribution_has_no_relative_links() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = importlib.metadata.metadata(project["name"])
    if metadata["Version"] != __version__:
        pytest.skip("what is installed here is another version than what is tested")
    readme = re.sub(r"^```.*?^```$", "", str(metadata["Description"]), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)", readme) + re.findall(r'\b(?:src|srcset|href)="([^"]+)', readme)
    assert len(targets) > 20
    assert [target for target in targets if not target.startswith("https://")] == []
