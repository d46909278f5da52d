"""The public face: every name of the contract, importable from every path it promises, and nothing unseen.

`public.py` makes a line of each public name, signature, field, key and option; `public.txt` has them as they
were last accepted.
"""

import ast
import importlib
import inspect
import py_compile
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import public
import pytest

import executionkit
from executionkit import react_loop, structured
from executionkit.patterns.react_loop import LoopOptions
from executionkit.patterns.structured import StructuredOptions

CONTRACT = [
    "DEFAULT_RETRY",
    "BudgetExhaustedError",
    "ConsensusFailedError",
    "ConvergenceDetector",
    "CostTracker",
    "Evaluator",
    "ExecutionKitError",
    "Kit",
    "LLMError",
    "LLMProvider",
    "LLMResponse",
    "MaxIterationsError",
    "MockProvider",
    "PatternError",
    "PatternResult",
    "PatternStep",
    "PermanentError",
    "Provider",
    "ProviderError",
    "RateLimitError",
    "RetryConfig",
    "TokenUsage",
    "Tool",
    "ToolCall",
    "ToolCallingProvider",
    "VotingStrategy",
    "__version__",
    "checked_complete",
    "consensus",
    "consensus_sync",
    "extract_json",
    "pipe",
    "pipe_sync",
    "react_loop",
    "react_loop_sync",
    "refine_loop",
    "refine_loop_sync",
    "validate_score",
]


def test_the_public_interface_is_the_one_written_down() -> None:
    written = public.WRITTEN.read_text(encoding="utf-8").splitlines()
    assert not (changed := public.difference(written, list(public.lines()))), changed


@pytest.mark.parametrize(
    "line",
    [
        "executionkit.ConsensusResult.margin",
        'executionkit.ConsensusResult: metadata["tie_count"]',
        "executionkit.LLMError.request_id",
        "executionkit.SampleDone.index",
        "executionkit.VotingStrategy.MAJORITY = 'majority'",
        'executionkit.consensus: error.metadata["responses"]',
        "executionkit.many.RowResult.value",
        "executionkit run --rpm ...",
        "environment: EXECUTIONKIT_MODEL",
        "extra: cli (rich>=13)",
    ],
)
def test_a_thing_of_each_kind_is_written_down_and_its_loss_is_told(line: str) -> None:
    now = public.WRITTEN.read_text(encoding="utf-8").splitlines()
    assert now.count(line) == 1
    told = public.difference(now, [each for each in now if each != line])
    assert f"- {line}\n" in told
    assert "DeprecationWarning" in told


def test_the_page_on_logging_names_each_logger() -> None:
    page = (public.ROOT / "docs" / "logging.md").read_text(encoding="utf-8")
    loggers = re.findall(r"^logger: (.+\..+)$", public.WRITTEN.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"^\| `(executionkit\.\w+)` \|", page, re.MULTILINE)) == loggers


def test_the_page_on_stability_names_the_public_modules_and_what_is_deprecated() -> None:
    page = (public.ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    listed = page.partition("## Public")[2].partition("\n\n|")[2].partition("\n\n")[0]
    assert {*re.findall(r"`(executionkit[\w.]*)`", listed)} == set(public.MODULES)
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(executionkit.__file__).parent.rglob("*.py")
    )
    assert ("DeprecationWarning" in source) != ("Nothing is deprecated" in page)


@pytest.mark.parametrize(
    ("function", "options", "others"),
    [
        (structured, StructuredOptions, {"validator"}),
        (react_loop, LoopOptions, {"output", "_"}),
    ],
)
def test_the_options_of_overloads_are_the_keywords_of_the_function(
    function: Callable[..., object], options: type, others: set[str]
) -> None:
    parameters = inspect.signature(function).parameters.values()
    keywords = {
        parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD
    }
    assert keywords - others == set(get_type_hints(options))


def test_the_root_has_every_name_of_the_contract() -> None:
    assert set(CONTRACT) <= set(vars(executionkit)["__all__"])


def test_every_name_of_all_exists_and_is_there_once() -> None:
    names = vars(executionkit)["__all__"]
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(executionkit, name)] == []


def test_the_root_shows_no_other_name() -> None:
    assert set(dir(executionkit)) == set(vars(executionkit)["__all__"])


def test_type_checkers_see_every_name_where_it_is_found_at_run_time() -> None:
    source = Path(executionkit.__file__).read_text(encoding="utf-8")
    seen = [
        (alias.name, alias.asname, node.module)
        for block in ast.parse(source).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert [name for name, _, _ in seen] == vars(executionkit)["__all__"]
    for name, shown, module in seen:
        assert name == shown  # without `as` type checkers take an import for private
        assert module is not None
        assert getattr(executionkit, name) is vars(importlib.import_module(module))[name]


@pytest.mark.parametrize("with_source", [True, False])
def test_the_package_works_from_a_zip_file_with_and_without_its_source(
    tmp_path: Path, *, with_source: bool
) -> None:
    package = Path(executionkit.__file__).parent
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as whole:
        for path in package.rglob("*.py"):
            name = path.relative_to(package.parent)
            if with_source:
                whole.write(path, name)
            else:
                compiled = py_compile.compile(str(path), str(tmp_path / "compiled.pyc"), doraise=True)
                assert compiled is not None
                whole.write(compiled, name.with_suffix(".pyc"))
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); import executionkit as e; print(e.__file__)"
    code += "; from executionkit import Kit, consensus_sync; print(e.__version__, e.errors.LLMError.__name__)"
    code += "; print('executionkit._mock' in sys.modules)"
    where, *rest = _in_a_new_interpreter(code)
    assert where.startswith(str(archive))
    assert rest == [executionkit.__version__, "LLMError", str(not with_source)]


def test_the_names_are_found_in_a_source_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    package = Path(executionkit.__file__).parent
    for path in package.rglob("*.py"):
        copy = tmp_path / path.relative_to(package.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import executionkit as e"
    where, *names = _in_a_new_interpreter(f"{code}; print(e.__file__, *e.__all__)")
    assert where.startswith(str(tmp_path))
    assert names == vars(executionkit)["__all__"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'executionkit' has no attribute 'concensus'"):
        _ = vars(executionkit)["__getattr__"]("concensus")
    with pytest.raises(ImportError, match="concensus"):
        exec("from executionkit import concensus")


def test_a_module_is_found_by_its_name_without_an_import_of_its_own() -> None:
    names = ["errors.LLMError", "patterns.consensus.consensus", "kit.Kit"]
    code = "import executionkit as e; print(" + ", ".join(f"e.{name}.__name__" for name in names) + ")"
    assert _in_a_new_interpreter(code) == [name.rpartition(".")[2] for name in names]


def test_a_program_imports_what_it_uses() -> None:
    code = "import sys, executionkit; executionkit.consensus; print(*sys.modules)"
    loaded = _in_a_new_interpreter(code)
    assert "executionkit.patterns.consensus" in loaded
    assert not {"executionkit.patterns.structured", "executionkit._mock", "executionkit.kit"} & set(loaded)


def _in_a_new_interpreter(code: str) -> list[str]:
    """What `code` prints, in words; this interpreter has loaded everything."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("name", ["consensus", "refine_loop", "react_loop"])
def test_a_pattern_function_is_not_hidden_by_the_module_of_its_name(name: str) -> None:
    importlib.import_module(f"executionkit.patterns.{name}")
    assert inspect.iscoroutinefunction(getattr(executionkit, name))


def test_everything_public_is_documented() -> None:
    aliases = {"Evaluator", "EventCallback", "Scorer"}
    values = {name: getattr(executionkit, name) for name in vars(executionkit)["__all__"]}
    own = {name for name, value in values.items() if callable(value) and name not in aliases}
    assert len(own) > 60
    assert {name for name in own if not inspect.getdoc(values[name])} == set()


def test_importing_loads_no_http_library() -> None:
    heavy = ["httpx", "httpx2", "httpcore", "http.client", "urllib.request", "http.server", "email"]
    code = "from executionkit import *; import sys; print(*sys.modules)"
    assert not {*heavy} & {*_in_a_new_interpreter(code)}


def test_the_types_are_shipped() -> None:
    assert Path(executionkit.__file__).with_name("py.typed").is_file()
