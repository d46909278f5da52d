"""The facts that the documentation states, and MkDocs can't check: names, errors, extras, versions, files."""

import ast
import importlib
import inspect
import json
import re
import tomllib
import typing
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import site_addresses
import site_examples
from pages import MODULES, PAGES, ROOT, blocks, name_of, prose, spans, texts

import executionkit
from executionkit import (
    ExecutionKitError,
    MockProvider,
    Provider,
    ToolError,
    answers,
    bench,
    errors,
    many,
    mcp,
    observe,
    otel,
    progress,
    run_log,
    testing,
)

# The pages that state facts as they are now.
SITE = [path for path in PAGES if "decisions" not in path.parts and path.name != "changelog.md"]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in SITE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLIC: dict[str, Any] = {
    **{
        name: getattr(module, name)
        for module in (testing, many, mcp, otel, progress, run_log)
        for name in module.__all__
    },
    **{name: getattr(executionkit, name) for name in vars(executionkit)["__all__"]},
    "answers": answers,
    "errors": errors,
    "executionkit": executionkit,
    "testing": testing,
}
ERRORS = {
    kind.__name__: kind.__bases__[0].__name__ if kind is not ExecutionKitError else None
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ExecutionKitError)
}
# The names that the pages give to objects of some classes.
CALLED: dict[str, list[Any]] = {
    "kit": [executionkit.Kit],
    "provider": [Provider, MockProvider],
    "endpoint": [testing.LocalEndpoint],
    "result": [kind for name, kind in PUBLIC.items() if name.endswith("Result")],
    "response": [executionkit.LLMResponse],
    "reply": [executionkit.LLMResponse],
    "chat": [executionkit.Conversation],
    "comparison": [bench.Comparison],
    "events": [executionkit.ReplyStream, executionkit.TurnStream],
    "error": [PUBLIC[name] for name in ERRORS],
}

ATTRIBUTES = re.compile(
    r"executionkit\.(usage|budget|retry|wait|tool|replayed|put_off|agreement_ratio|rounds)\b|error\.type$"
)
"""The attributes and events of spans have names like those of modules."""


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    shown = [inspect.getdoc(errors) or "", *(block.code for path in SITE for block in blocks(path))]
    drawings = [text[text.index("ExecutionKitError") :] for text in shown if re.search("[├└].*Error", text)]
    assert len(drawings) >= 2
    for drawing in drawings:
        above: list[tuple[int, str]] = []
        drawn: dict[str, str | None] = {}
        for line in drawing.split("\n\n")[0].splitlines():
            if match := re.match(r"[\s│├└─]*(\w+)", line):
                above = [(column, name) for column, name in above if column < match.start(1)]
                drawn[match[1]] = above[-1][1] if above else None
                above.append((match.start(1), match[1]))
        assert drawn == ERRORS


def test_every_export_is_in_the_reference_once() -> None:
    rendered = re.findall(r"^::: executionkit\.(\S+)", TEXT, re.MULTILINE)
    assert [name for name in set(rendered) if rendered.count(name) > 1] == []
    modules = {
        "answers": answers,
        "bench": bench,
        "mcp": mcp,
        "observe": observe,
        "otel": otel,
        "progress": progress,
        "run_log": run_log,
        "testing": testing,
    }
    own = {f"{prefix}.{name}" for prefix, module in modules.items() for name in module.__all__}
    # The page of errors renders the whole module.
    elsewhere = {*ERRORS, "ToolError", "testing.MockProvider", "__version__"}
    missing = {*vars(executionkit)["__all__"], *own} - {*rendered} - elsewhere
    assert {name for name in missing if not (name.endswith("_sync") and name in spans(TEXT))} == set()


def test_the_names_and_calls_in_sentences_exist() -> None:
    """`consensus(stop=...)`, `Provider.stream`, `executionkit.testing`: such names and keywords are there."""
    faults: list[str] = []
    for path in [*SITE, *MODULES]:
        for _, text in texts(path):
            faults += [
                f"{name_of(path)}: {fault}" for span in spans(prose(text)) for fault in faults_in(span)
            ]
    assert faults == []


def faults_in(span: str) -> list[str]:
    try:
        tree = ast.parse(span, mode="eval")
    except (SyntaxError, ValueError):
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and find(name := ast.unparse(node)) is None:
            # Not a file, and not a private module, such as `provider._session`.
            is_ours = name.partition(".")[0] in {*PUBLIC, *CALLED} and not re.search(r"\._|\.(py|md)$", name)
            is_ours = is_ours and not ATTRIBUTES.match(name)
            found += [f"there is no {name}"] if is_ours else []
        if isinstance(node, ast.Call) and callable(about := find(ast.unparse(node.func))):
            # An exception may have the constructor of Exception, which has no signature.
            parameters = {} if about is ToolError else inspect.signature(about).parameters
            if not any(each.kind is each.VAR_KEYWORD and name != "_" for name, each in parameters.items()):
                unknown = {keyword.arg for keyword in node.keywords} - parameters.keys() - {None}
                found += [f"{span} has no parameter {name}" for name in unknown]
    return found


LOGGERS = {
    logger
    for path in MODULES
    for logger in re.findall(r'getLogger\("([\w.]+)"\)', path.read_text(encoding="utf-8"))
}


def test_the_page_of_logging_has_every_logger_and_field() -> None:
    page = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    names = (LOGGERS - {"executionkit"}) | {*re.findall(r"\bek_\w+", code)}
    assert {name for name in names if f"`{name}`" not in page} == set()


def find(name: str) -> Any:
    """The object that a dotted name stands for, as far as it can be followed; None if it is not there."""
    if name in LOGGERS:
        return name
    first, *rest = name.split(".")
    ways = (follow(start, rest) for start in CALLED.get(first, [PUBLIC.get(first)]))
    return next((found for found in ways if found is not None), None)


def follow(found: Any, names: list[str]) -> Any:
    for name in names:
        if isinstance(found, ModuleType):
            with suppress(ImportError):
                importlib.import_module(f"{found.__name__}.{name}")
        elif not isinstance(found, type):
            return found  # the value of a property, say
        annotated = {each for base in getattr(found, "__mro__", ()) for each in inspect.get_annotations(base)}
        found = getattr(found, name, name if name in annotated else None)
    return found


def test_a_name_that_is_not_there_is_found() -> None:
    calls = ("consensus(samples=3)", "kit.consensus(samples=3)", "RateLimitError(after=1)")
    names = ("kit.total", "Provider.strem", "executionkit.testin", "result.agreement")
    assert [span for span in (*calls, *names) if not faults_in(span)] == []
    assert faults_in("consensus(key=answers.number, stop=executionkit.engine.retry)") == []


def test_the_table_of_vendors_and_their_pages_say_the_same() -> None:
    folder = ROOT / "docs" / "vendors"
    table = (folder / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.+?\]\((.+?)\) \| `(.+?)`<br>(.+?) \|", table, re.MULTILINE)
    assert {page for page, _, _ in rows} == {path.name for path in folder.glob("*.md")} - {"index.md"}
    assert len(rows) >= 15
    for page, base_url, key in rows:
        text = (folder / page).read_text(encoding="utf-8")
        program = next(block.code for block in blocks(folder / page) if block.runs)
        assert re.search(rf'\bProvider\(\s*"{re.escape(base_url)}",', program), page
        assert f"- **Base URL:** `{base_url}`" in text, page
        assert all(f'environ["{name}"]' in program for name in re.findall(r"\w+_API_KEY", key)), page
        assert re.search(r"^- \*\*(Tried:|Not tried by us)\*\*", text, re.MULTILINE), page
        assert text.partition("\n## Differences\n")[2].count("\n|") >= 6, page


def test_the_extras_and_back_ends_named_are_those_there_are() -> None:
    ours = {"test", "types", "docs", "look", "pictures", "mutants", "release", "dev"}
    extras = set(PROJECT["optional-dependencies"]) - ours
    bracketed = re.findall(r"(?:executionkit|pip install \"?\.)\[([\w, -]+)\]", TEXT)
    named = {extra.strip() for names in bracketed for extra in names.split(",")}
    assert named <= extras | {"dev", "test"}
    assert extras <= named | set(spans(TEXT))
    backends = set(typing.get_args(typing.get_type_hints(Provider)["backend"]))
    chosen = set(re.findall(r"backend=[\"'](\w+)[\"']", TEXT))
    assert "stdlib" in backends
    assert chosen <= backends <= chosen | {"auto"} | {span.strip('"') for span in spans(TEXT)}


def test_the_versions_of_python_named_are_those_supported() -> None:
    pattern = r"Python (?:>= ?)?(3\.\d+)[\d.]*(?:(?: to |-|–)(3\.\d+)| or (?:newer|later)|\+)"
    told = re.findall(pattern, TEXT)
    found = (re.search(r"Python :: (3\.\d+)$", line) for line in PROJECT["classifiers"])
    supported = [match[1] for match in found if match]
    assert PROJECT["requires-python"].startswith(f">={supported[0]}")
    assert set(told) <= {(supported[0], supported[-1]), (supported[0], "")}
    assert len(told) >= 2


def test_the_targets_of_make_and_the_environment_variables_named_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = [
        *spans(prose(TEXT)),
        *(line for path in SITE for block in blocks(path) for line in block.code.splitlines()),
    ]
    called = {match[1] for line in shown if (match := re.match(r"(?:\$ )?make (?:\w+=\S+ )*([a-z]+)", line))}
    assert {"test", "docs"} <= called <= targets
    variable = re.compile(r"\bEXECUTIONKIT_[A-Z_]+[A-Z]\b")
    sources = [*MODULES, *(ROOT / "examples").glob("*.py")]
    read = {name for path in sources for name in variable.findall(path.read_text(encoding="utf-8"))}
    assert {"EXECUTIONKIT_BASE_URL"} <= set(variable.findall(TEXT)) <= read


def test_the_files_named_are_there_and_each_is_listed() -> None:
    """MkDocs checks the links of its own pages only."""
    broken: list[str] = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        files = re.findall(r"`((?:tests|docs|examples|scripts|benchmarks)/[\w./-]+\.\w+)`", text)
        broken += [f"{name_of(path)}: {name}" for name in files if not (ROOT / name).exists()]
        if "docs" not in path.parts:
            links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", text)
            broken += [f"{name_of(path)}: {link}" for link in links if not (path.parent / link).exists()]
    assert broken == []
    listed = site_examples.groups((ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
    named = sorted(example.name for examples in listed.values() for example in examples)
    assert named == sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    recipes = (ROOT / "docs" / "recipes" / "index.md").read_text(encoding="utf-8")
    pages = (ROOT / "docs" / "recipes").glob("*.md")
    assert [path.name for path in pages if f"]({path.name})" not in recipes] == ["index.md"]
    reference = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    assert [name for name in vars(executionkit)["__all__"] if f"`{name}`" not in reference] == ["__version__"]
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [name for name in records if f"]({name})" not in index] == []
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))


def test_links_of_the_site_say_that_they_are_placeholders() -> None:
    placeholders = {"Repository": "https://example.org/kit", "Documentation": "https://example.org/kit/docs"}
    assert site_addresses.links(placeholders) == {
        "repo_url": "https://example.org/kit",
        "repo_name": "example.org (placeholder)",
        "edit_uri_template": "https://example.org/kit/edit/main/docs/{path}",
    }
    addresses = {"Repository": "https://forge.test/us/kit/", "Documentation": "https://pages.test/kit"}
    assert site_addresses.links(addresses) == {
        "repo_url": "https://forge.test/us/kit",
        "repo_name": "us/kit",
        "edit_uri_template": "https://forge.test/us/kit/edit/main/docs/{path}",
        "site_url": "https://pages.test/kit/",
    }


def test_the_messages_on_the_page_of_troubleshooting_are_raised() -> None:
    """Somebody searches the page for the words of a message, so they stand there as they are written."""
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    tables = page.partition("\n## Refused by the server")[0]
    rows = re.findall(r"^\| ((?:`.+?`[^|]*)+)\|", tables, re.MULTILINE)
    shown = {re.sub(r" \d+$", " ", each) for row in rows for each in spans(row)}
    source = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    # One message may be written as several strings, one below the other.
    written = re.sub(r'"\s*\n\s*f?"', "", source)
    assert len(shown) >= 40
    assert {each for each in shown if each not in written} == set()


async def test_the_slips_on_the_page_of_structured_are_mended() -> None:
    page = (ROOT / "docs/patterns/structured.md").read_text(encoding="utf-8")
    table = page.partition("\n| Slip | Example |\n|---|---|\n")[2].partition("\n\n")[0]
    slips = [slip for row in table.splitlines() for slip in spans(row.split(" | ")[1])]
    assert len(slips) > 6
    for slip in slips:
        with pytest.raises(json.JSONDecodeError):
            json.loads(slip)
        result = await executionkit.structured(MockProvider([slip]), "?", max_retries=0)
        assert result.mended, slip
