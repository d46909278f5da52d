"""Plant faults in the package, one at a time, and count how many of them the tests notice.

    make mutants                                       # some 150 faults
    make mutants ARGS="voting retry"                   # those of two areas
    make mutants ARGS="--json after.json"              # keep the outcome
    make mutants ARGS="--against before.json"          # compare it with an outcome that was kept

It works on copies of the tree, never on the tree itself:

1. The whole suite runs once, with coverage, to learn which lines each test reaches and how long it takes.
   A test that fails in this run is left out and named.
2. Faults are drawn from those that cosmic-ray can make and from statements left out: at most one in each
   statement, and a fixed number in each area. A fault is known by its function, its statement and the kind
   of change, not by its file and line, and it is drawn by a hash of these and of `--seed`. So the same
   faults are planted after code has moved, or has changed elsewhere.
3. Each fault is planted by itself. The tests that reach its line run, the fast ones first, until one of
   them fails or takes far longer than before. A line that runs on import counts as reached by every test
   that runs a line of its module, and by those that run none at all but look at signatures, for example.
   A fault that no test reaches is not noticed.
4. The tests that noticed something run once more, without a fault. One that still fails noticed nothing.

The exit status is 0 if at least `--aim` per cent of the faults were noticed, else 1. A fault that makes no
difference to a caller (a larger buffer, say) counts as not noticed like any other, so 100 % is out of reach.
The draw leaves out annotations, texts of messages, `__repr__`, logging and lines that coverage excludes.
Two cores that do nothing else take about a quarter of an hour.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import itertools
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from coverage import Coverage

ROOT = Path(__file__).parents[1]
PACKAGE = "executionkit"

AREAS = {  # how many faults, and where; a file belongs to the first area that names it
    "voting": (15, "patterns/_voting.py"),
    "retry": (15, "engine/retry.py provider/_retry_after.py"),
    "budget": (
        20,
        "cost.py engine/budget.py engine/meter.py engine/room.py engine/request.py engine/bill.py",
    ),
    "provider": (50, "provider/*.py provider/*/*.py _redaction.py _secrets.py"),
    "engine": (
        50,
        "engine/*.py _output.py evaluators.py _judge/*.py _checks.py "
        "patterns/_sampling.py patterns/_tools.py patterns/_transcript.py patterns/_narrator.py "
        "patterns/_structured_attempts.py patterns/_structured_reply.py _schema_modes.py",
    ),
}

# A few changes of each kind: a sum that becomes a shift is noticed by the tests that notice a difference.
OPERATORS = (
    *("AddNot", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add"),
    *("ReplaceBinaryOperator_Mul_Div", "ReplaceBinaryOperator_Div_Mul"),
    *("ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Mul"),
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_Lt_GtE"),
    *("ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_LtE_Gt"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_Gt_LtE"),
    *("ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt"),
)
LEFT_OUT = "statement left out"

SILENT_FUNCTIONS = {"__repr__", "__str__"}
SILENT_CALLS = {"_log", "TypeVar", "ParamSpec", "cast"}
SILENT_DECORATORS = {"overload", "override", "final", "runtime_checkable"}

PATIENCE = 5.0
"""How many times as long as in the recording a test may take, besides some seconds for a busy machine."""

MOST_SECONDS = 60.0
"""The tests that run for one fault took at most this long, together, in the recording."""

FIRST = 100
"""So many tests run before the others are collected: most faults are noticed by them."""

MOST_MEMORY = 8 << 30
"""Bytes of address space for each process, since a fault may make a loop that never ends."""

Place: TypeAlias = tuple[int, int]
Scope: TypeAlias = tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, ...]
Unit: TypeAlias = ast.stmt | ast.ExceptHandler


class Mutant(NamedTuple):
    """A fault: the change with this number that the operator can make in the file.

    `key` is its identity, and `statement` the part of that which names the statement. `lines` are those of
    the statement, the changed one first; there are none if it runs on import.
    """

    area: str
    path: str
    line: int
    lines: tuple[int, ...]
    operator: str
    number: int
    statement: str
    key: str


class Outcome(NamedTuple):
    """Whether the tests that reach a fault noticed it, and which of them did."""

    mutant: Mutant
    change: str
    tests: int
    noticed: bool
    by: str
    seconds: float


class Recording(NamedTuple):
    """The seconds that each test takes; for each file the tests that reach a line, and the lines to skip.

    The tests `outside` reach no line: they look at signatures, or at what another process prints.
    """

    seconds: dict[str, float]
    outside: set[str]
    reached: dict[str, dict[int, set[str]]]
    skipped: dict[str, set[int]]


def main() -> int:
    """Draw, plant, test and report."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        directory = Path(name)
        tree = copied(ROOT, directory / "recorded")
        started = time.monotonic()
        print("Recording what each test reaches ...", flush=True)
        recording = record(tree, options.jobs)
        mutants = [
            mutant for area in options.areas for mutant in drawn(area, tree, recording.skipped, options.seed)
        ]
        print(f"... took {time.monotonic() - started:.0f} s. Planting {len(mutants)} faults.", flush=True)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        outcomes = planted_all(mutants, tree, directory, recording, options.jobs)
        print(f"All took {time.monotonic() - started:.0f} s.")
    report(outcomes)
    if options.against:
        compare(outcomes, json.loads(options.against.read_text()))
    if options.json:
        options.json.write_text(json.dumps([as_object(each) for each in outcomes], indent=1) + "\n")
    noticed = sum(outcome.noticed for outcome in outcomes)
    return 0 if 100 * noticed >= options.aim * len(outcomes) else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Plant faults, and count how many the tests notice.")
    parser.add_argument("areas", nargs="*", default=list(AREAS), help=f"any of {', '.join(AREAS)}")
    parser.add_argument("--seed", default="0", help="draw others (default: %(default)s)")
    parser.add_argument("--aim", type=float, default=90.0, metavar="PERCENT", help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: one for each core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the outcome")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with an outcome that was kept")
    options = parser.parse_args()
    if unknown := set(options.areas) - set(AREAS):
        parser.error(f"unknown areas: {', '.join(sorted(unknown))}")
    return options


def copied(source: Path, target: Path) -> Path:
    """Copy a tree, without what git ignores or keeps."""
    names = (".git", ".venv*", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".coverage*")
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns(*names, ".interop", "build", "dist", "site")
    )
    return target


def record(tree: Path, jobs: int) -> Recording:
    """Run the whole suite, and read what it did."""
    command = ["-n", str(jobs), "--cov", "--cov-context=test", "--cov-report=", "--durations=0", "-vv"]
    code, output = pytest(tree, command, 3600)
    if code not in (0, 1):
        raise SystemExit(output[-3000:] + "\nThe suite does not run.")
    failed = set(re.findall(r"^\[gw\d+\] \[ *\d+%\] (?:FAILED|ERROR) (.*?) *$", output, re.MULTILINE))
    for test in sorted(failed):
        print(f"Left out, as it fails without a fault: {test}")
    seconds: dict[str, float] = defaultdict(float)
    for taken, test in re.findall(r"^([\d.]+)s (?:call|setup|teardown) +(.*)$", output, re.MULTILINE):
        if test not in failed:
            seconds[test] += float(taken)
    with contextlib.chdir(tree):
        coverage = Coverage()
        coverage.load()
        data = coverage.get_data()
        reached = {}
        for name in data.measured_files():
            contexts = data.contexts_by_lineno(name).items()
            tests = {
                line: {each.rpartition("|")[0] for each in some} - {""} - failed for line, some in contexts
            }
            reached[str(Path(name).relative_to(tree / PACKAGE))] = tests
        skipped = {path: set(coverage.analysis2(str(tree / PACKAGE / path))[2]) for path in reached}
    inside = set().union(*(tests for lines in reached.values() for tests in lines.values()))
    return Recording(seconds, seconds.keys() - inside, reached, skipped)


def pytest(tree: Path, arguments: Sequence[str], limit: float) -> tuple[int | None, str]:
    """Run pytest in a tree: its exit status, None if it did not end in time, and its output."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--hypothesis-seed=0", *arguments]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whatever the tests left behind
            process.wait()
        output.seek(0)
        return code, output.read()


def drawn(area: str, tree: Path, skipped: dict[str, set[int]], seed: str) -> list[Mutant]:
    """The faults to be planted in an area."""
    by_statement = defaultdict(list)
    for path in files_of(area, tree / PACKAGE):
        for mutant in mutants_in(area, tree / PACKAGE, path, skipped.get(path, set())):
            by_statement[path, mutant.statement].append(mutant)
    chosen: list[Mutant] = []
    for path, statement in sorted(by_statement, key=lambda each: (rank(seed, each[1]), each[0])):
        source = (tree / PACKAGE / path).read_text()
        for mutant in sorted(by_statement[path, statement], key=lambda each: rank(seed, each.key)):
            if len(chosen) < AREAS[area][0] and is_different(source, planted(source, mutant)):
                chosen.append(mutant)
                break
    return chosen


def rank(seed: str, text: str) -> str:
    """Something to sort by that is as good as a draw."""
    return hashlib.sha256(f"{seed} {text}".encode()).hexdigest()


def files_of(area: str, package: Path) -> list[str]:
    """The files of an area, without those of the areas before it."""
    taken: set[str] = set()
    for name, (_, patterns) in AREAS.items():
        found = {str(path.relative_to(package)) for each in patterns.split() for path in package.glob(each)}
        if name == area:
            return sorted(found - taken)
        taken |= found
    raise ValueError(area)


def mutants_in(area: str, package: Path, path: str, skipped: set[int]) -> Iterator[Mutant]:
    """Every fault that can be planted in a file."""
    source = (package / path).read_text()
    tree = ast.parse(source)
    silent = list(silent_spans(tree))
    sums = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    signs = [(end_of(node.left), start_of(node.right)) for node in sums]
    every = list(units(tree))
    said = [f"{'.'.join(each.name for each in scope)}: {wording(unit)}" for unit, scope in every]
    before: Counter[str] = Counter()
    statements = []
    for text in said:
        before[text] += 1
        statements.append(f"{text} #{before[text]}")
    inside: Counter[tuple[str, int]] = Counter()
    for operator, number, place in places(source, every):
        if place[0] in skipped or any(start <= place < end for start, end in silent):
            continue
        if "BinaryOperator" in operator and not any(start <= place < end for start, end in signs):
            continue  # the star before an argument
        index = max(n for n, (unit, _) in enumerate(every) if start_of(unit) <= place < end_of(unit))
        unit, scope = every[index]
        inside[operator, index] += 1
        runs_on_import = all(isinstance(each, ast.ClassDef) for each in scope)
        yield Mutant(
            area,
            path,
            place[0],
            () if runs_on_import else (place[0], *lines_of(unit)),
            operator,
            number,
            statements[index],
            f"{statements[index]} {operator} #{inside[operator, index]}",
        )


def places(source: str, every: Sequence[tuple[Unit, Scope]]) -> Iterator[tuple[str, int, Place]]:
    """Each operator, the number of each change it can make, and where it makes that."""
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        found = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for number, place in enumerate(found):
            yield name, number, place
    for number, (unit, scope) in enumerate(every):
        if can_be_left_out(unit, scope[-1].name if scope else ""):
            yield LEFT_OUT, number, start_of(unit)


def can_be_left_out(unit: Unit, function: str) -> bool:
    """Whether a statement is there for its effect alone; an attribute that is never set would be too easy."""
    match unit:
        case ast.Expr(ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete():
            return True
        case ast.Assign([ast.Attribute() | ast.Subscript()]):
            return function not in ("__init__", "__post_init__")
    return False


def planted(source: str, mutant: Mutant) -> str:
    """The source with the fault in it."""
    if mutant.operator != LEFT_OUT:
        changed: str = mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.number)
        return changed
    unit, _ = list(units(ast.parse(source)))[mutant.number]
    (first, left), (last, right) = start_of(unit), end_of(unit)
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    lines[first - 1 : last] = [lines[first - 1][:left], b"pass", lines[last - 1][right:]]
    return b"".join(lines).decode()


def is_different(source: str, changed: str) -> bool:
    """Whether the change is one, and leaves a module that compiles."""
    try:
        compile(changed, "", "exec")
        return ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def units(node: ast.AST, scope: Scope = ()) -> Iterator[tuple[Unit, Scope]]:
    """Every statement and `except` clause, outer ones first, with the functions and classes around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            yield child, scope
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from units(child, (*scope, child))
        else:
            yield from units(child, scope)


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement without those of the statements inside it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from own_nodes(child)


def wording(unit: Unit) -> str:
    """A statement as one line, whatever its layout and the texts in it."""

    def word(node: ast.AST) -> str:
        if isinstance(node, ast.Constant):
            return type(node.value).__name__ if isinstance(node.value, str) else repr(node.value)
        names = (getattr(node, field, None) for field in ("id", "attr", "name", "arg"))
        return next((name for name in names if isinstance(name, str)), type(node).__name__)

    return " ".join(word(node) for node in own_nodes(unit) if not isinstance(node, ast.expr_context))


def start_of(node: ast.stmt | ast.expr | ast.ExceptHandler) -> Place:
    """Where a node begins, its decorators included."""
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]), node.col_offset


def end_of(node: ast.stmt | ast.expr | ast.ExceptHandler) -> Place:
    """Where a node ends."""
    if node.end_lineno is None or node.end_col_offset is None:
        raise ValueError("the parser sets both")
    return node.end_lineno, node.end_col_offset


def lines_of(unit: Unit) -> range:
    """The lines of a statement before the first statement inside it."""
    inner = [start_of(each)[0] for each, _ in units(unit)]
    first, last = start_of(unit)[0], end_of(unit)[0]
    return range(first, max(first + 1, min([last + 1, *inner])))


def silent_spans(tree: ast.Module) -> Iterator[tuple[Place, Place]]:
    """What is not worth a change: annotations, texts, logging."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.expr() as silent) | ast.AnnAssign(annotation=silent):
                yield start_of(silent), end_of(silent)
            case ast.FunctionDef(name=name) if name in SILENT_FUNCTIONS:
                yield start_of(node), end_of(node)
            case ast.BinOp(left=ast.JoinedStr() | ast.Constant(str())):
                yield start_of(node), end_of(node)
            case ast.BinOp(right=ast.JoinedStr() | ast.Constant(str())):
                yield start_of(node), end_of(node)
            case ast.JoinedStr() | ast.Raise():
                yield start_of(node), end_of(node)
            case ast.Call(ast.Name(name) | ast.Attribute(ast.Name(name))) if name in SILENT_CALLS:
                yield start_of(node), end_of(node)
        for decorator in getattr(node, "decorator_list", ()):
            if isinstance(decorator, ast.Name) and decorator.id in SILENT_DECORATORS:
                yield (decorator.lineno, 0), end_of(decorator)
        if isinstance(returns := getattr(node, "returns", None), ast.expr):
            yield start_of(returns), end_of(returns)


def planted_all(
    mutants: Sequence[Mutant], tree: Path, directory: Path, recording: Recording, jobs: int
) -> list[Outcome]:
    """Plant each fault in a copy of the tree, and run the tests that reach it."""
    fastest = sorted(recording.seconds, key=lambda test: recording.seconds[test])[:FIRST]
    if failing(tree, fastest):
        raise SystemExit("The fastest tests fail when they run by themselves.")
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(jobs):
        copies.put(copied(tree, directory / f"copy{number}"))

    def plant(mutant: Mutant) -> Outcome:
        copy = copies.get()
        file = copy / PACKAGE / mutant.path
        try:
            source = file.read_text()
            file.write_text(changed := planted(source, mutant))
            return tested(mutant, change_of(source, changed), copy, recording)
        finally:
            # With its time, by which Python knows whether what it has compiled is of this file.
            shutil.copy2(tree / PACKAGE / mutant.path, file)
            copies.put(copy)

    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(plant, mutants):
            outcomes.append(outcome)
            print("." if outcome.noticed else f"\n{described(outcome)}\n", end="", flush=True)
    print()
    unsound = failing(tree, sorted({outcome.by for outcome in outcomes} & recording.seconds.keys()))
    for test in unsound:
        print(f"Noticed nothing, as it fails without a fault too: {test}")
        for outcome in outcomes:
            if outcome.by == test:
                print(described(outcome))
    return [each._replace(noticed=each.noticed and each.by not in unsound) for each in outcomes]


def tested(mutant: Mutant, change: str, copy: Path, recording: Recording) -> Outcome:
    """Run the tests that reach a fault until one of them fails."""
    tests = reaching(mutant, recording)
    started = time.monotonic()
    for some in filter(None, (tests[:FIRST], tests[FIRST:])):
        taken = [recording.seconds.get(test, 0.0) for test in some]
        limit = 60 + PATIENCE * sum(taken)
        code, output, failed = run(copy, some, limit, "-x", f"--timeout={10 + PATIENCE * max(taken)}")
        if code != 0:
            by = min(failed, default="the time limit" if code is None else output[-300:])
            return Outcome(mutant, change, len(tests), True, by, time.monotonic() - started)
    return Outcome(mutant, change, len(tests), False, "", time.monotonic() - started)


def reaching(mutant: Mutant, recording: Recording) -> list[str]:
    """The tests that reach a fault, the fastest first, as far as time allows."""
    by_line = recording.reached.get(mutant.path, {})
    if mutant.lines:
        tests = by_line.get(mutant.lines[0]) or set().union(*(by_line.get(line, ()) for line in mutant.lines))
    else:
        tests = set().union(*by_line.values(), recording.outside)
    # Tests that are equally fast, from as many files as possible.
    ordered = sorted(tests, key=lambda test: (recording.seconds.get(test, 0.0), rank("", test)))
    sums = itertools.accumulate(recording.seconds.get(test, 0.0) for test in ordered)
    affordable = [test for test, total in zip(ordered, sums, strict=True) if total <= MOST_SECONDS]
    # Those of a file together, as its fixtures may be shared.
    return [*sorted(affordable[:FIRST], key=file_of), *sorted(affordable[FIRST:], key=file_of)]


def file_of(test: str) -> str:
    """The file that a test is in."""
    return test.partition("::")[0]


def failing(tree: Path, tests: Sequence[str]) -> set[str]:
    """Those of some tests that fail in a tree."""
    if not tests:
        return set()
    code, output, failed = run(tree, tests, 3600)
    if code not in (0, 1):
        raise SystemExit(output[-3000:])
    return failed


def run(tree: Path, tests: Sequence[str], limit: float, *options: str) -> tuple[int | None, str, set[str]]:
    """Run some tests in a tree: the exit status, the output, and the tests that failed."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("\n".join(tests))
        names.flush()
        code, output = pytest(tree, ["-q", "--tb=no", "-rfE", *options, f"@{names.name}"], limit)
    lines = re.findall(r"^(?:FAILED|ERROR) (.*)", output, re.MULTILINE)
    return (
        code,
        output,
        {test for test in tests if any(f"{line} - ".startswith(f"{test} - ") for line in lines)},
    )


def change_of(source: str, changed: str) -> str:
    """What a fault changes, on one line."""
    lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), n=0, lineterm="")
    told = [f"{line[0]} {line[1:].strip()}" for line in lines if line[:3] not in ("---", "+++", "@@ ")]
    return "  ".join(line for line in told if len(line) > 2)


def described(outcome: Outcome) -> str:
    """A fault in a few lines."""
    mutant = outcome.mutant
    place = mutant.statement.partition(":")[0] or "the module"
    where = f"{mutant.path}:{mutant.line}, in {place}, reached by {outcome.tests} tests"
    return f"Not noticed in {mutant.area}: {where}\n    {outcome.change}"


def report(outcomes: Sequence[Outcome]) -> None:
    """Print how many faults were planted and noticed in each area."""
    print(f"\n{'Area':12}{'planted':>10}{'noticed':>10}")
    for name in (*AREAS, "all"):
        some = [outcome.noticed for outcome in outcomes if name in (outcome.mutant.area, "all")]
        if some:
            print(f"{name:12}{len(some):10}{sum(some):10}{100 * sum(some) / len(some):8.1f} %")


def compare(outcomes: Sequence[Outcome], kept: Sequence[dict[str, object]]) -> None:
    """Print what became of the faults that an earlier run planted too."""
    before = {each["key"]: each["noticed"] for each in kept}
    both = [outcome for outcome in outcomes if outcome.mutant.key in before]
    then, now = sum(before[each.mutant.key] is True for each in both), sum(each.noticed for each in both)
    print(f"\n{len(both)} of these were planted before: {then} were noticed then, {now} now")


def as_object(outcome: Outcome) -> dict[str, object]:
    """An outcome as JSON has it."""
    mutant, *others = outcome
    return mutant._asdict() | dict(zip(outcome._fields[1:], others, strict=True))


if __name__ == "__main__":
    sys.exit(main())
