"""No command stands in a document that is not run, or marked as needing what a test has not."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from manual import generated
from tests import documents, links
from zk2etcd import errors
from zk2etcd.config import loader, model_walk, models


@pytest.mark.parametrize("path", documents.documents(), ids=documents.name)
def test_each_command_is_marked(path: pathlib.Path) -> None:
    found = [fault for block in documents.blocks(path) for fault in documents.faults(block)]
    assert not found + documents.unfenced(path)


def block(mark: str, text: str = "zk2etcd status\n", language: str = "sh") -> documents.Block:
    return documents.Block(documents.ROOT / "README.md", 3, language, text, mark)


@pytest.mark.parametrize(
    ("mark", "language", "right"),
    [
        ("run: migrating", "sh", True), ("run: migrating; exits 1", "bash", True),
        ("needs: docker", "sh", True), ("needs: systemd; the mirror stops", "console", True),
        ("tested by: tests/unit/test_documents.py", "sh", True),
        ("", "sh", False), ("needs: luck", "sh", False), ("run: ", "sh", False),
        ("tested by: tests/absent.py", "sh", False), ("", "", False), ("", "text", False),
        ("", "console", False), ("", "bash", False), ("", "shell", False),
        ("shown: a", "text", True), ("shown: a", "sh", False), ("transcript", "sh", False),
    ],
)  # fmt: skip
def test_marks(mark: str, language: str, right: bool) -> None:
    assert (not documents.faults(block(mark, language=language))) is right


def test_what_a_mark_says() -> None:
    assert (block("run: a; exits 3").scene, block("run: a; exits 3").exit_code) == ("a", 3)
    assert (block("needs: docker").scene, block("run: a").exit_code) == (None, 0)
    assert not documents.faults(block("", "a: 1\n", "yaml"))


def test_blocks_are_found_also_in_lists(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(
        "1. So:\n\n   <!-- run: a -->\n   ```sh\n   one\n     two\n   ```\n\n~~~\n```\n~~~\n",
        "utf-8",
    )
    first, second = documents.blocks(path)
    assert (first.line, first.mark, first.text) == (4, "run: a", "one\n  two\n")
    assert (second.language, second.text) == ("", "```\n")


def test_every_document_is_looked_at() -> None:
    names = {documents.name(path) for path in documents.documents()}
    assert names >= {
        "README.md",
        "README.zh-CN.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/quickstart.md",
        "docs/decisions/0003-spawn.md",
        "tests/faults/README.md",
    }
    assert not [name for name in names if name.startswith(".venv")]


def test_what_was_shown_is_compared_by_its_words() -> None:
    said = "ready  12 shards\n─────\nid-0a1b2c3d  3.5 s ago, took 53 ms   yes  \nmore"
    assert not documents.unlike("ready 1 shards\n\nid-99999999   12 ms ago, ... yes\n", said)
    assert not documents.unlike("ready ...\nid-... ...", said)
    assert documents.unlike("id-00000000 ... no\nmore", said) == ["id-00000000 ... no"]
    assert documents.unlike("more\nready 1 shards", said) == ["ready 1 shards"]


def test_a_transcript_is_one_only_where_trials_are() -> None:
    trial = documents.TRIALS / "x.md"
    assert not documents.faults(documents.Block(trial, 3, "console", "$ zk2etcd\n", "transcript"))
    assert documents.faults(documents.Block(trial, 3, "console", "$ zk2etcd status\n", ""))


@pytest.mark.parametrize("path", documents.documents(), ids=documents.name)
def test_each_link_leads_somewhere(path: pathlib.Path) -> None:
    assert not links.dead(path)


def test_a_dead_link_is_found(tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# One `two`, three\n\n## Same\n\n## Same\n\n```\n# no\n```\n", "utf-8")
    path = tmp_path / "x.md"
    path.write_text(
        "# Here\n[a](other.md) [b](other.md#one-two-three) [c](#here) [d](other.md#same-1)\n"
        "[e](https://example.org/x) [f](absent.md) [g](other.md#no) ![h](absent.png) `[i](code)`\n"
        "```\n[j](fenced)\n```\n[k]: lost.md\n",
        "utf-8",
    )
    assert links.dead(path) == ["absent.md", "other.md#no", "absent.png", "lost.md"]


@pytest.mark.parametrize("path", documents.documents(), ids=documents.name)
def test_each_configuration_in_a_document_is_valid(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With files where it names some; a part is completed with a prefix."""
    for block in documents.blocks(path):
        content = yaml.safe_load(block.text) if block.language in ("yaml", "yml") else None
        if isinstance(content, dict) and set(content) & set(model_walk.keyed(models.Config)):
            assert not configured(block.text, content, tmp_path), str(block)


def configured(text: str, content: dict[str, object], folder: pathlib.Path) -> str:
    for name in re.findall(r"/etc/zk2etcd/([\w.]+)", text):
        (folder / name).write_text("x", "utf-8")
    given = folder / "config.yaml"
    given.write_text(text.replace("/etc/zk2etcd", str(folder)), "utf-8")
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "secret")
    try:
        loader.load([str(given)], () if "sync" in content else ("sync.prefixes=[/a]",), environ)
    except errors.ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", generated.files(), ids=documents.name)
def test_what_is_generated_is_up_to_date(path: pathlib.Path) -> None:
    assert path.read_text("utf-8") == generated.files()[path], "run `make manual`"
