"""The Dockerfile, read as Docker does, as far as ours goes."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil
from typing import NamedTuple

from tests.deployment import examples

FILE = examples.ROOT / "Dockerfile"


class Instruction(NamedTuple):
    """`RUN`, `COPY` ... and all that follows it, on one line."""

    name: str
    value: str

    def words(self) -> list[str]:
        return shlex.split(self.value)

    def argv(self) -> list[str]:
        """The exec form: a JSON list, so that no shell stands between Docker and the process."""
        found = json.loads(self.value[self.value.index("[") :])
        assert isinstance(found, list)
        return found


def stages() -> list[list[Instruction]]:
    """The instructions of each stage; each begins with its FROM."""
    text = re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.M).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(str.strip, text.splitlines()):
        name, _, value = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, value.strip()))
    return found


def all_of(stage: list[Instruction], name: str) -> list[Instruction]:
    return [each for each in stage if each.name == name]


def variables(stage: list[Instruction]) -> dict[str, str]:
    """ARG and ENV of the stage with their defaults."""
    found: dict[str, str] = {}
    for each in stage:
        if each.name in ("ARG", "ENV"):
            for word in each.words():
                key, _, value = word.partition("=")
                found[key] = re.sub(r"\$\{?(\w+)\}?", lambda m: found.get(m[1], m[0]), value)
    return found


def copied(stage: list[Instruction], folder: pathlib.Path) -> None:
    """Carry out the stage's COPYs out of the build context, with `folder` as the working one."""
    for each in all_of(stage, "COPY"):
        *sources, target = each.words()
        for source in sources:
            place = folder / target / source if target.endswith("/") else folder / target
            origin = examples.ROOT / source
            if origin.is_dir():
                shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, place)


def context() -> set[str]:
    """The entries of the repository that .dockerignore lets through."""
    lines = (examples.ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[0] == "*"
    return {line[1:] for line in lines if line.startswith("!")}
