"""`executionkit run` and the commands around it: rows in, signals, kills, and what the server counted."""

import asyncio
import csv
import errno
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from executionkit._cli.app import main
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

ROWS = 12
PROMPT = ("--prompt", "Label: {text}", "--id", "id")


def simulated(request: ChatRequest) -> str | Fault:
    if "bad" in request.prompt:
        return Fault.status(400)
    return f"={request.prompt.removeprefix('Label: ')}"


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with LocalEndpoint(simulated) as running:
        yield running


@pytest.fixture(autouse=True)
def _here(endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXECUTIONKIT_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("EXECUTIONKIT_MODEL", "my-model")
    monkeypatch.delenv("EXECUTIONKIT_API_KEY", raising=False)
    write_rows("reviews.jsonl", [{"id": f"r{n}", "text": f"t{n}"} for n in range(ROWS)])


def write_rows(name: str, rows: list[Any]) -> None:
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def outcomes(capsys: pytest.CaptureFixture[str], journal: str) -> dict[str, Any]:
    status, out, _ = run(capsys, "export", journal, "-")
    assert status == 0
    return {record["row"]: record["value"] for record in map(json.loads, out.splitlines())}


def test_without_a_journal_the_results_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "run", "reviews.jsonl", *PROMPT)
    assert status == 0
    assert {line["id"]: line["value"] for line in map(json.loads, out.splitlines())} == {
        f"r{n}": f"=t{n}" for n in range(ROWS)
    }
    assert f"{ROWS} rows: {ROWS} done; {ROWS} calls, " in err


def test_a_ceiling_stops_a_job_and_a_higher_one_goes_on(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    job = ("run", "reviews.jsonl", *PROMPT, "--journal", "j.jsonl", "-q")
    status, out, err = run(capsys, *job, "--max-calls", "5")
    assert (status, out) == (3, "")
    assert "5 rows done, 0 failed; spent 5 calls" in err
    assert "with a higher ceiling, the same command goes on from j.jsonl" in err
    assert run(capsys, *job, "--max-calls", "20") == (0, "", "")
    assert run(capsys, *job, "--max-calls", "20") == (0, "", "")
    assert endpoint.ledger.calls == ROWS
    assert outcomes(capsys, "j.jsonl") == {f"r{n}": f"=t{n}" for n in range(ROWS)}
    status, out, _ = run(capsys, "status", "j.jsonl", "--json")
    assert (json.loads(out)["done"], json.loads(out)["cost"]["llm_calls"]) == (ROWS, ROWS)
    # Another prompt is another job; how long a reply may be is not.
    other = [word.replace("Label", "Judge") for word in job]
    status, _, err = run(capsys, *other)
    assert status == 2
    assert "JournalError: j.jsonl was written for step" in err
    assert err.endswith("in the shell that is --job-version TEXT\n")
    assert run(capsys, *job, "--set", "max_tokens=9")[0] == 0
    assert run(capsys, *other, "--job-version", "2")[0] == 0
    assert endpoint.ledger.calls == 2 * ROWS
    # Back at the first version, its rows are what counts.
    assert run(capsys, *job, "--out", "o.jsonl")[0] == 0
    assert len(outcomes(capsys, "j.jsonl")) == len(Path("o.jsonl").read_text("utf-8").splitlines()) == ROWS
    assert endpoint.ledger.calls == 2 * ROWS


def test_rows_that_fail_are_told_and_tried_again(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    write_rows("some.jsonl", [{"id": 1, "text": "good"}, {"id": 2, "text": "bad"}])
    job = ("run", "some.jsonl", *PROMPT, "--journal", "j.jsonl", "--out", "o.csv")
    status, _, err = run(capsys, *job)
    assert status == 1
    assert "row 1, id '2': PermanentError: " in err
    assert "2 rows: 1 done, 1 failed" in err
    status, out, _ = run(capsys, "status", "j.jsonl", "--total", "4")
    assert out.startswith("rows      2 of 4: 1 done, 1 failed\nspent     2 calls, ")
    assert "failures  1 x PermanentError" in out
    assert run(capsys, *job)[0] == 1
    assert endpoint.ledger.calls == 3


def test_the_account_stops_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    with LocalEndpoint(simulated, api_key="another") as strict:
        status, out, err = run(capsys, "run", "reviews.jsonl", *PROMPT, "--base-url", strict.base_url, "-q")
    assert (status, out) == (3, "")
    assert "error: PermanentError: " in err
    assert "0 rows done, 0 failed" in err


def test_a_full_disk_is_no_mistake_of_the_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if b'"t":"call"' in data:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("os.write", full)
    status, _, err = run(capsys, *JOB)
    assert (status, "No space left on device" in err) == (1, True)
    assert err.endswith("; the same command goes on from j.jsonl\n")


@pytest.mark.parametrize(
    ("rows", "arguments", "said"),
    [
        ('{"id": 1, "text": "a"}\n{"id": 2,\n', PROMPT, "in.jsonl, line 2: no JSON"),
        (
            '{"id": 1, "text": "a"}\n\n{"id": 2}\n',
            PROMPT,
            "in.jsonl, line 3: no field 'text'; the row has id",
        ),
        ('{"text": "a"}\n', PROMPT, "in.jsonl, line 1: no field 'id', which --id names"),
        ("[1]\n", ("--prompt", "{text}"), "the row is no object, but an array"),
        ("", PROMPT, "in.jsonl has no rows"),
    ],
)
def test_bad_input_is_named_before_the_first_call(
    rows: str,
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    endpoint: LocalEndpoint,
) -> None:
    Path("in.jsonl").write_text(rows, encoding="utf-8")
    status, out, err = run(capsys, "run", "in.jsonl", *arguments)
    assert (status, out, endpoint.ledger.calls) == (2, "", 0)
    assert said in err
    assert len(err.splitlines()) == 1


def test_bad_rows_can_be_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["no json", '{"id": 1, "text": "a"}', *(f'{{"id": {n}}}' for n in range(2, 9))]
    Path("in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    status, out, err = run(capsys, "run", "in.jsonl", *PROMPT, "--skip-bad", "-q")
    assert (status, out) == (0, '{"id": "1", "value": "=a", "error": null}\n')
    assert err.startswith("skipped: in.jsonl, line 1: no JSON")
    assert "skipped: in.jsonl, line 3: no field 'text'" in err
    assert err.endswith("skipped: and 3 more\n")


@pytest.mark.parametrize(
    ("data", "arguments", "status", "said"),
    [
        (b'{"text": "a"}\n', (), 0, '"=a"'),
        (b"text;id\r\na;1\r\n", ("--delimiter", ";", "--id", "id"), 0, '"=a"'),
        (b"text\tid\na\t1\n", ("--delimiter", "\\t", "--id", "id"), 0, '"=a"'),
        (b"text\ncaf\xe9\n", ("--delimiter", ","), 2, "standard input, line 2: the text is not UTF-8"),
        (b"", (), 2, "standard input has no rows"),
    ],
)
def test_rows_may_come_from_standard_input(
    data: bytes,
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    found, out, err = run(capsys, "run", "-", "--prompt", "Label: {text}", "-q", *arguments)
    assert (found, said in (out or err)) == (status, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.jsonl", *PROMPT), "none.jsonl: No such file or directory"),
        (("reviews.txt", *PROMPT), "the name must end in .jsonl, .ndjson, .csv, .tsv or .parquet"),
        (("reviews.jsonl",), "give one of --prompt, --prompt-file and --step"),
        (("reviews.jsonl", "--prompt", " "), "the prompt is empty"),
        (("reviews.jsonl", "--prompt", "Label {text"), "every row would be asked the same"),
        (("reviews.jsonl", *PROMPT, "--step", "a:b"), "--step and --prompt exclude each other"),
        (
            ("reviews.jsonl", "--step", "nowhere:b"),
            "--step nowhere:b: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (("reviews.jsonl", "--step", "json"), "--step must be MODULE:NAME"),
        (("reviews.jsonl", "--step", "json:__name__"), "which can't be called"),
        (
            ("reviews.jsonl", "--step", "json:dumps"),
            "step is called with (provider, row), json.dumps can't be",
        ),
        (("reviews.jsonl", *PROMPT, "--key", "number"), "--key is for --pattern consensus, not ask"),
        (("reviews.jsonl", *PROMPT, "--schema", "{}"), "--schema is for --pattern structured, not ask"),
        (("reviews.jsonl", *PROMPT, "--set", "temperature=7"), "temperature must be"),
        (
            ("reviews.jsonl", *PROMPT, "--set", "n=7"),
            "ask has no keyword 'n'; it has temperature, max_tokens",
        ),
        (("reviews.jsonl", *PROMPT, "--shard", "3/3"), "--shard must be I/N with 0 <= I < N"),
        (("reviews.jsonl", *PROMPT, "--max-failures", "1.5"), "--max-failures must be a number of rows"),
        (("reviews.jsonl", *PROMPT, "--rpm", "0"), "--rpm: must be a number above 0"),
        (("reviews.jsonl", *PROMPT, "--out", "o.csv"), "--out needs --journal"),
        (
            ("reviews.jsonl", *PROMPT, "--journal", "j", "--out", "o.txt"),
            "must end in .jsonl, .csv or .parquet",
        ),
        (("reviews.jsonl", *PROMPT, "--journal", "j", "--out", "no/o.csv"), "there is no such folder"),
        (("reviews.jsonl", *PROMPT, "--delimiter", ";"), "--delimiter is for CSV files"),
        (
            ("reviews.jsonl", *PROMPT, "--journal", "j", "--out", "reviews.jsonl"),
            "the results would be written over reviews.jsonl",
        ),
        (("reviews.jsonl", *PROMPT, "--max-call", "3"), "--max-call 3; did you mean --max-calls?"),
        (("reviews.jsonl", "--step", "steps.py:label"), "such as my_steps:label"),
        (("reviews.jsonl", "--step", "this_step:label"), "--step this_step:label: SystemExit: 3"),
    ],
)
def test_arguments_that_cannot_be_used_are_named_before_the_first_call(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    Path("this_step.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    status, out, err = run(capsys, "run", *arguments)
    assert (status, out, endpoint.ledger.calls) == (2, "", 0)
    assert said in err
    assert len(err.splitlines()) == 1


def test_results_must_have_a_place_to_go(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (("run", "reviews.jsonl", *PROMPT), ("ask", "x")):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", None)
            found = run(capsys, *words)
        assert (found[0], "standard output is closed" in found[2]) == (2, True)
    assert endpoint.ledger.calls == 0
    with monkeypatch.context() as patch:
        for name in ("stdin", "stdout", "stderr"):
            patch.setattr(f"sys.{name}", None)
        assert run(capsys, *JOB)[0] == 0


def test_patterns_and_steps_of_ones_own_run_over_rows(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in.csv").write_text("id;text\n1;it is 42\n", encoding="utf-8")
    Path("prompt.txt").write_text("{text}", encoding="utf-8")
    table = ("run", "in.csv", "--delimiter", ";", "--id", "id", "-q")
    vote = ("--pattern", "consensus", "--set", "num_samples=3", "--key", "number", "-s", "Count.")
    status, out, _ = run(capsys, *table, "--prompt-file", "prompt.txt", *vote)
    assert (status, json.loads(out)["value"], endpoint.ledger.calls) == (0, 42, 3)
    assert endpoint.ledger.requests[0].messages[0] == {"role": "system", "content": "Count."}
    Path("my_steps.py").write_text(
        "async def label(provider, row):\n"
        "    reply = await provider.complete([{'role': 'user', 'content': row['text']}])\n"
        "    return {'label': reply.content}\n\n\n"
        "async def odd(provider, row):\n"
        "    return float('nan')\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("sys.path", [*sys.path])
    status, out, _ = run(capsys, *table, "--step", "my_steps:label")
    assert (status, json.loads(out)["value"]) == (0, {"label": "=it is 42"})
    status, out, _ = run(capsys, *table, "--step", "my_steps:odd")
    said = json.loads(out)
    assert (status, said["id"], said["value"]) == (1, "1", None)
    assert "JSON has no form for the value of row 0 (Out of range float" in said["error"]
    schema = '{"type": "object", "required": ["x"]}'
    fits = ("--pattern", "structured", "--schema", schema, "--set", "max_retries=0")
    assert run(capsys, *table, "--prompt", "{text}", *fits)[0] == 1


def test_export_replaces_a_file_at_once_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(
        "some.jsonl", [{"id": 'a"b', "text": "1+1"}, {"id": "c", "text": "-5"}, {"id": "d", "text": "\n"}]
    )
    assert run(capsys, "run", "some.jsonl", *PROMPT, "--journal", "j.jsonl", "-q")[0] == 0
    for name in ("o.jsonl", "o.csv"):
        Path(name).write_text("old", encoding="utf-8")
        assert run(capsys, "export", "j.jsonl", name) == (0, "", f"wrote {name}\n")
    records = [json.loads(line) for line in Path("o.jsonl").read_text(encoding="utf-8").splitlines()]
    with open("o.csv", encoding="utf-8", newline="") as file:
        cells = [*csv.DictReader(file)]
    assert [record["value"] for record in records] == [cell["value"] for cell in cells]
    assert [(record["row"], record["value"]) for record in records] == [
        ('a"b', "=1+1"),
        ("c", "=-5"),
        ("d", "=\n"),
    ]
    assert cells[0]["llm_calls"] == "1"
    run(capsys, "export", "j.jsonl", "o.csv", "--for-spreadsheets")
    with open("o.csv", encoding="utf-8-sig", newline="") as file:
        assert {row["value"] for row in csv.DictReader(file)} == {"'=1+1", "'=-5", "'=\n"}
    before = Path("j.jsonl").read_bytes()
    for wrong, said in (("j.jsonl", "written over j.jsonl"), ("o.txt", "must end in")):
        status, _, err = run(capsys, "export", "j.jsonl", wrong)
        assert (status, said in err) == (2, True)
    Path("j.jsonl").write_bytes(before + b"{broken\n")
    assert run(capsys, "export", "j.jsonl", "o.csv")[0] == 2
    assert {path.name for path in Path().iterdir()} == {
        "some.jsonl",
        "reviews.jsonl",
        "j.jsonl",
        "o.csv",
        "o.jsonl",
    }
    assert run(capsys, "export", "none", "o.csv")[0] == 2
    assert run(capsys, "export", "some.jsonl", "o.csv")[0] == 2
    assert run(capsys, "status", "none")[0] == 2
    assert run(capsys, "status", "some.jsonl")[0] == 2


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_parquet_goes_in_and_out(
    package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip(package)
    found = importlib.util.find_spec
    other = {"polars": "pyarrow", "pyarrow": "polars"}[package]
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == other else found(name, *rest)
    )
    polars.DataFrame({"id": [1, 2], "text": ["a", "b"]}).write_parquet("in.parquet")
    assert (
        run(capsys, "run", "in.parquet", *PROMPT, "--journal", "j.jsonl", "--out", "o.parquet", "-q")[0] == 0
    )
    table = polars.read_parquet("o.parquet")
    assert table.select("row", "value", "llm_calls", "error").rows() == [
        ("1", "=a", 1, None),
        ("2", "=b", 1, None),
    ]


# Signals and kills, against what the server counted.


JOB = ("run", "reviews.jsonl", *PROMPT, "--journal", "j.jsonl", "--in-flight", "4", "-q")


def until(endpoint: LocalEndpoint, calls: int) -> None:
    asyncio.run(endpoint.wait_until(lambda ledger: ledger.calls >= calls, timeout=30))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the command has said that it stops."""
    event = threading.Event()

    def note(_: str) -> None:
        event.set()

    monkeypatch.setattr("executionkit._cli.stopping.note", note)
    return event


@contextmanager
def meanwhile(work: Callable[[], object]) -> Generator[None, None, None]:
    """Another thread: signals are taken by the main one, which runs the command."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("tests don't run in the main thread")
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def send(number: signal.Signals) -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_a_job_after_what_is_in_flight(
    number: signal.Signals,
    heard: threading.Event,
    capsys: pytest.CaptureFixture[str],
    endpoint: LocalEndpoint,
) -> None:
    gate = endpoint.hold()

    def stop() -> None:
        until(endpoint, 4)
        send(number)
        heard.wait(30)
        gate.release()

    with meanwhile(stop):
        found = run(capsys, *JOB)
    assert found == (128 + number, "", "stopped; the same command goes on from j.jsonl\n")
    assert len(outcomes(capsys, "j.jsonl")) == endpoint.ledger.calls == 4
    assert run(capsys, *JOB)[0] == 0
    assert endpoint.ledger.calls == len(outcomes(capsys, "j.jsonl")) == ROWS


def test_the_second_signal_cancels_what_is_in_flight(
    heard: threading.Event, capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    gate = endpoint.hold()

    def stop() -> None:
        until(endpoint, 4)
        send(signal.SIGINT)
        heard.wait(30)
        send(signal.SIGINT)

    with meanwhile(stop):
        status, _, said = run(capsys, *JOB)
    gate.release()
    assert status == 130
    assert said.startswith("cancelled; 0 rows are done; ")
    assert "spent 4 calls" in said
    assert run(capsys, *JOB)[0] == 0
    assert len(outcomes(capsys, "j.jsonl")) == ROWS
    assert endpoint.ledger.calls == ROWS + 4


def test_a_signal_that_is_ignored_or_comes_after_the_last_row_stops_nothing(
    heard: threading.Event, capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    gate = endpoint.hold()

    def stop() -> None:
        until(endpoint, 4)
        send(signal.SIGHUP)
        gate.release(ROWS - 4)
        until(endpoint, ROWS)
        send(signal.SIGTERM)
        heard.wait(30)
        gate.release()

    try:
        with meanwhile(stop):
            assert run(capsys, *JOB) == (0, "", "")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_comparison_says_what_was_spent(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    write_rows("items.jsonl", [{"q": f"{n}", "answer": n} for n in range(4)])
    gate = endpoint.hold()

    def stop() -> None:
        until(endpoint, 4)
        send(signal.SIGINT)

    with meanwhile(stop):
        found = run(capsys, "bench", "items.jsonl", "--prompt", "{q}", "--in-flight", "4", "-q")
    gate.release()
    spent = "interrupted; spent 4 calls, 0 + 0 tokens"
    assert found == (130, "", f"{spent}; the same command begins anew, because there is no --journal\n")


def test_what_is_paid_twice_after_a_kill_is_at_most_what_was_in_flight(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    gate = endpoint.hold()
    command = [sys.executable, "-W", "error", "-m", "executionkit", *JOB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        until(endpoint, 4)
        gate.release(3)
        until(endpoint, 7)
        status, out, _ = run(capsys, "status", "j.jsonl", "--json")
        child.kill()
        child.communicate()
    gate.release()
    assert (status, json.loads(out)["done"], child.returncode) == (0, 3, -signal.SIGKILL)
    assert run(capsys, *JOB)[0] == 0
    assert len(outcomes(capsys, "j.jsonl")) == ROWS
    assert endpoint.ledger.calls == ROWS + 4
    assert json.loads(run(capsys, "status", "j.jsonl", "--json")[1])["cost"]["llm_calls"] == ROWS + 4
    assert os.path.exists("j.jsonl")


def test_nothing_more_is_paid_for_when_nobody_reads_the_results(endpoint: LocalEndpoint) -> None:
    arguments = ("run", "reviews.jsonl", *PROMPT, "--in-flight", "1", "-q")
    command = [sys.executable, "-W", "error", "-m", "executionkit", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()
    assert (child.returncode, said) == (1, b"")
    assert endpoint.ledger.calls <= 3


# The commands that lead elsewhere.


def test_a_job_by_the_files_of_a_batch_service(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    from executionkit.testing import run_batch

    write = ("batch", "write", "reviews.jsonl", *PROMPT, "--journal", "j.jsonl", "--out", "q.jsonl")
    status, out, err = run(capsys, *write)
    assert (status, out) == (0, "q.jsonl\n")
    assert err == f"{ROWS} rows: 0 done, 0 failed, {ROWS} open; {ROWS} requests in q.jsonl\n"
    run_batch(endpoint.base_url, "q.jsonl", "a.jsonl")
    status, _, err = run(capsys, "batch", "read", "j.jsonl", "a.jsonl")
    assert (status, err.startswith(f"{ROWS} replies; ")) == (0, True), err
    status, out, err = run(capsys, *write)
    assert (status, out) == (0, "")
    assert err.endswith(": done, export has the values\n")
    assert outcomes(capsys, "j.jsonl") == {f"r{n}": f"=t{n}" for n in range(ROWS)}
    assert endpoint.ledger.calls == ROWS
    assert run(capsys, "batch", "forget", "j.jsonl", "q.jsonl")[0] == 2
    with Path("a.jsonl").open("a") as cut_off:
        cut_off.write('{"custom_id"')
    status, _, err = run(capsys, "batch", "read", "j.jsonl", "a.jsonl")
    assert (status, "1 broken" in err) == (1, True)
    assert run(capsys, "batch", "read", "none", "a.jsonl")[0] == 2
    ceiling = ("--journal", "k.jsonl", "--out", "k.req", "--max-calls", "3")
    assert run(capsys, "batch", "write", "reviews.jsonl", *PROMPT, *ceiling)[:2] == (3, "k.req\n")
    assert run(capsys, "batch", "read", "j.jsonl", "none")[0] == 2
    assert run(capsys, "batch")[0] == 0


def test_bench_compares_patterns(capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint) -> None:
    write_rows("items.jsonl", [{"q": f"{n}", "answer": n} for n in range(4)])
    bench = (
        "bench",
        "items.jsonl",
        "--prompt",
        "{q}",
        "--patterns",
        "ask,consensus:3",
        "-q",
        "--key",
        "number",
    )
    journal = ("--journal", "j.jsonl")
    status, out, err = run(capsys, *bench, *journal, "--plot", "p.svg")
    assert (status, err) == (0, "wrote p.svg\n")
    assert out.startswith("4 items\npattern ")
    assert endpoint.ledger.calls == 16
    status, out, _ = run(capsys, *bench, *journal, "--json")
    assert [figures["accuracy"] for figures in json.loads(out)["patterns"]] == [1.0, 1.0]
    assert endpoint.ledger.calls == 16
    assert run(capsys, *bench, "--max-calls", "9")[0] == 3
    assert run(capsys, *bench, "-s", "Add.", "--temperature", "0.1", "--max-tokens", "7")[0] == 0
    asked = endpoint.ledger.requests[-1]
    assert asked.messages[0] == {"role": "system", "content": "Add."}
    assert (asked.body["temperature"], asked.body["max_tokens"]) == (0.1, 7)
    for wrong in (("--plot", "no/p.svg"), ("--plot", "p.png"), ("--patterns", "consensus:0")):
        assert run(capsys, *bench, *wrong)[0] == 2
    assert "a pattern must be one of ask, " in run(capsys, *bench, "--patterns", "vote")[2]
    assert "no field 'gold'; the row has q, answer" in run(capsys, *bench, "--expected", "gold")[2]
