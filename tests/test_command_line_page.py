"""The page of the command line: its commands are run, in order, and print what the page shows."""

import re
import shlex
from pathlib import Path

import pytest
from pages import ROOT, blocks

from executionkit._cli.app import main
from executionkit.testing import ChatRequest, LocalEndpoint, run_batch

PAGE = ROOT / "docs" / "command-line.md"
FILES = {
    "film.json": (
        '{"type": "object", "properties": {"title": {"type": "string"}, "year": {"type": "integer"}}}'
    ),
    "reviews.jsonl": (
        '{"review_id": "a1", "text": "Lovely, would buy again."}\n'
        '{"review_id": "a2", "text": "It broke after a day."}\n'
        '{"review_id": "a3", "text": "Does what it says."}\n'
    ),
    "questions.jsonl": "".join(f'{{"question": "{n} + 1", "answer": {n + 1}}}\n' for n in range(40)),
}
REPLIES = {
    "capital": "Paris",
    "17 *": "17 * 23 = 391, so the answer is 391.",
    "Metropolis": '{"title": "Metropolis", "year": 1927}',
    "broke": "negative",
    "review": "positive",
}


def simulated(request: ChatRequest) -> str:
    """Knows the answers on the page, and three of four sums."""
    if found := re.fullmatch(r"What is (\d+) \+ 1\?", request.prompt):
        number = int(found[1])
        return f"The answer is {number if number % 4 == 3 else number + 1}."
    return next(reply for word, reply in REPLIES.items() if word in request.prompt)


def timeless(line: str) -> str:
    """A line without the seconds, which differ each time."""
    return re.sub(r"\d+\.\d s$|( +\d+\.\d\d){2}$", "", line.replace("python -m executionkit", "executionkit"))


def run(command: str, endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> int:
    name, *arguments = shlex.split(command)
    if name == "export":
        variable, _, value = arguments[0].partition("=")
        monkeypatch.setenv(variable, endpoint.base_url if value.startswith("http") else value)
    elif name == "cat":
        print(Path(arguments[0]).read_text(encoding="utf-8"), end="")
    elif name == "your-service":
        run_batch(endpoint.base_url, *arguments)
    else:
        assert name == "executionkit"
        try:
            return main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def test_the_commands_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    consoles = [block.code for block in blocks(PAGE) if block.language == "console"]
    shown = [line for code in consoles for line in re.sub(r"\\\n *", "", code).splitlines()]
    starts = [at for at, line in enumerate(shown) if line.startswith("$ ")]
    commands = {shown[at].split()[2] for at in starts if shown[at].startswith("$ executionkit ")}
    assert commands == {"ask", "consensus", "structured", "run", "status", "export", "batch", "bench"}
    faults: list[str] = []
    with LocalEndpoint(simulated) as endpoint:
        for start, end in zip(starts, [*starts[1:], len(shown)], strict=True):
            command, _, status = shown[start][2:].partition(" # status ")
            assert run(command, endpoint, monkeypatch) == int(status or 0), command
            printed = capsys.readouterr()
            lines = [timeless(line) for line in (printed.out + printed.err).splitlines()]
            missing = [line for line in shown[start + 1 : end] if timeless(line) not in lines]
            faults += [f"{command}: {missing}, but {lines}"] if missing else []
    assert not faults, "\n".join(faults)
