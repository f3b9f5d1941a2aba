"""One finding of `check`: a line for a person, and what to do if it is not well."""

from __future__ import annotations

import dataclasses
from typing import Literal

Status = Literal["ok", "note", "FAIL"]


@dataclasses.dataclass(frozen=True)
class Fact:
    """`side` is where it was found. `unreachable`: nothing more can be found out on that side.
    `refused`: this release may not be used with what is there."""

    side: str
    status: Status
    text: str
    remedy: str = ""
    unreachable: bool = False
    refused: bool = False


@dataclasses.dataclass(frozen=True)
class Side:
    """Makes the facts of one side."""

    name: str

    def ok(self, text: str) -> Fact:
        return Fact(self.name, "ok", text)

    def note(self, text: str, remedy: str = "") -> Fact:
        return Fact(self.name, "note", text, remedy)

    def fail(self, text: str, remedy: str, *, unreachable: bool = False) -> Fact:
        return Fact(self.name, "FAIL", text, remedy, unreachable)
