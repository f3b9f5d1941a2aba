"""The commands in the documents, and what is to be done with each of them.

A document that nobody runs is wrong after a month. So each fenced block of shell commands has a
mark, an HTML comment on the line above it, which no reader sees:

    <!-- run: NAME -->                     run by test_documents, in order, in the scene NAME
    <!-- run: NAME; exits 1 -->            with this exit code
    <!-- run: NAME; in the background -->  a supervisor, that the following blocks ask
    <!-- needs: docker -->                 also cluster, systemd, root, network: not run;
                                           "; the mirror stops" ends what runs in the background
    <!-- tested by: tests/x.py -->         run by that test in another way
    <!-- shown: NAME -->                   above a ```text block: what the last commands of the
                                           scene said, see `unlike`
    <!-- transcript -->                    in docs/trials only: what was once typed and seen
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHELLS = ("sh", "bash", "shell", "shell-session", "console", "zsh")
TRIALS = ROOT / "docs" / "trials"
NEEDS = ("cluster", "docker", "systemd", "root", "network")

_FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*([\w-]*)")
_MARK = re.compile(r"^\s*<!-- (.+) -->\s*$")
_COMMAND = re.compile(
    r"^ {4,}(\$ )?(zk2etcd|make|pip|docker|kubectl|systemctl|etcdctl|promtool|curl|sudo) "
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its fence, `mark` the comment above it or ""."""

    path: pathlib.Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def shell(self) -> bool:
        return self.language in SHELLS

    @property
    def scene(self) -> str | None:
        """The scene in which it is run."""
        kind, _, rest = self.mark.partition(": ")
        return rest.partition(";")[0] if kind == "run" else None

    @property
    def exit_code(self) -> int:
        match = re.search(r"; exits (\d+)$", self.mark)
        return int(match.group(1)) if match else 0

    @property
    def shown(self) -> str | None:
        """The scene whose last output this is."""
        kind, _, rest = self.mark.partition(": ")
        return rest if kind == "shown" else None

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[pathlib.Path]:
    """Every document of the project, wherever it is."""
    ours = [each for each in ROOT.iterdir() if each.is_dir() and not _foreign(each.name)]
    found = [ROOT.glob("*.md"), *(each.rglob("*.md") for each in ours)]
    paths = {path: path.relative_to(ROOT).parts for path in itertools.chain(*found)}
    return sorted(path for path, parts in paths.items() if not any(map(_hidden, parts)))


def _foreign(name: str) -> bool:
    """Whether it is a folder that others write: .venv with its thousands of files, build."""
    return _hidden(name) or name in ("build", "dist")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith(".egg-info")


def name(path: pathlib.Path) -> str:
    """How a document is called in this project."""
    return str(path.relative_to(ROOT))


def blocks(path: pathlib.Path) -> list[Block]:
    """The fenced blocks of one document, in order."""
    found = []
    lines = path.read_text("utf-8").splitlines()
    start: tuple[int, str, str] | None = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if start is None and fence:
            start = (number, fence.group(2), fence.group(3))
        elif start is not None and line.strip() == start[1]:
            text = textwrap.dedent("\n".join(lines[start[0] + 1 : number]) + "\n")
            mark = _MARK.match(lines[start[0] - 1]) if start[0] else None
            said = mark.group(1) if mark else ""
            found.append(Block(path, start[0] + 1, start[2], text, said))
            start = None
    return found


def faults(block: Block) -> list[str]:
    """What is wrong with a block's mark."""
    if block.mark == "transcript" and TRIALS in block.path.parents:
        return []
    if not block.shell:
        if block.shown:
            return []
        if re.search(_COMMAND.pattern.replace(" {4,}", ""), block.text, re.MULTILINE):
            return [f"{block}: holds a command: write ```sh and a mark above it"]
        return []
    if _says_how(block):
        return []
    return [f"{block}: needs a mark above it, as tests/documents.py says; it has {block.mark!r}"]


def _says_how(block: Block) -> bool:
    kind, _, rest = block.mark.partition(": ")
    what = rest.partition(";")[0]
    return {
        "run": bool(what),
        "needs": what in NEEDS,
        "tested by": (ROOT / what).is_file(),
    }.get(kind, False)


def unfenced(path: pathlib.Path) -> list[str]:
    """Commands that are only indented, and so escape `blocks`."""
    found, fenced = [], False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and _COMMAND.match(line):
            found.append(f"{path.relative_to(ROOT)}:{number}: fence this command and mark it")
    return found


def unlike(shown: str, said: str) -> list[str]:
    """The lines of `shown` that nothing in `said` looks like, in this order.

    Digits stand for any number, `...` for anything, and how wide a gap is does not matter: what a
    reader compares is the words.
    """
    rest = [_plain(line) for line in said.splitlines()]
    found = []
    for line in filter(str.strip, shown.splitlines()):
        wanted = re.compile(".*".join(map(re.escape, re.split(r" ?\.\.\. ?", _plain(line)))))
        at = next((at for at, each in enumerate(rest) if wanted.fullmatch(each)), None)
        if at is None:
            found.append(line)
        else:
            del rest[: at + 1]
    return found


def _plain(line: str) -> str:
    line = re.sub(r"\b[0-9a-f]{8,40}\b", "0", line)
    line = re.sub(r"\d[\d,.]*(?: ?(?:ms|s|MiB|KiB)\b)?", "0", line)
    return re.sub(r"[\s─]+", " ", line).strip()
