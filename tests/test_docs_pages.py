"""The pages hang together: navigation, decisions, links, files and objects named."""

import pkgutil
import re

from described import PACKAGE
from pages import PAGES, ROOT


def test_every_pattern_has_a_page_and_every_page_is_in_the_navigation() -> None:
    patterns = {path.stem for path in (PACKAGE / "patterns").glob("*.py")} - {"__init__", "base"}
    pages = {path.stem for path in (ROOT / "docs" / "patterns").glob("*.md")}
    assert patterns | {"pipe"} <= pages
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = [str(path.relative_to(ROOT / "docs")) for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert [page for page in shown if page not in navigation] == []


def test_every_decision_is_in_the_index_and_they_are_numbered_without_gaps() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [name for name in records if f"]({name})" not in index] == []


def test_every_example_is_on_the_page_of_examples() -> None:
    shown = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    programs = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert {name for name in programs if f'--8<-- "examples/{name}"' not in shown} == set()


def test_the_links_between_pages_and_to_files_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_pages_name_only_files_and_objects_that_exist() -> None:
    files = re.compile(r"`((?:tests|docs|examples|scripts|benchmarks)/[\w./-]+\.\w+)`")
    objects = re.compile(r"^::: (\S+)", re.MULTILINE)
    wrong: list[str] = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        wrong.extend(name for name in files.findall(text) if not (ROOT / name).exists())
        wrong.extend(name for name in objects.findall(text) if not _exists(name))
    assert wrong == []


def _exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
