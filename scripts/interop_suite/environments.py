"""Installing servers, each into a place of its own below the cache folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from interop_suite.processes import end


class InstallError(Exception):
    """A server could not be installed; the text has the last lines of what its installer said."""


def run_installer(command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Run a step of an installation, its output going to `log`.

    If this is interrupted, all that the step has started is ended.

    Raises:
        InstallError: It can't be started, or its status is not 0.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as exc:
            raise InstallError(f"{command[0]} can't be run: {exc}") from exc
        try:
            status = process.wait()
        except BaseException:
            end(process, (signal.SIGINT, signal.SIGKILL))  # at SIGINT, pip takes its temporary folders away
            raise
    if status:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise InstallError(
            f"{Path(command[0]).name} ended with {status}: {' / '.join(last)}; all it said is in {log}"
        )


class Venv:
    """A virtual environment below the cache folder.

    Args:
        path: Where it is or will be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / "bin" / "python"

    def install(self, *arguments: str | Path) -> None:
        """Have pip install into it, unless that was done before with the same arguments.

        Raises:
            InstallError: It can't be.
        """
        stamp, wanted = self.path / ".installed", " ".join(map(str, arguments))
        if stamp.exists() and stamp.read_text() == wanted:
            return
        log = self.path.with_suffix(".install.log")
        run_installer([sys.executable, "-m", "venv", "--clear", self.path], log)
        run_installer([*self.pip, "install", *map(str, arguments)], log)
        stamp.write_text(wanted)

    @property
    def pip(self) -> list[str]:
        """The beginning of a pip command."""
        return [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input"]

    def version(self, distribution: str) -> str:
        """The installed version of a distribution."""
        code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
        return subprocess.run(
            [self.python, "-c", code], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
