"""What `zk2etcd support` gathers for whoever is to help: one archive, without a secret in it.

Each part is got by itself, and what cannot be had is written down with the reason: one asks for
help when things do not work. Nothing in it holds a secret to begin with: they are left out by
their keys. Whatever is known to be one (the configuration's, the token's), and is no common word,
is looked for all the same before anything is written.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import secrets as random_names
import stat
import tarfile
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pydantic

from zk2etcd import errors, version
from zk2etcd.client import admin_client, machine
from zk2etcd.config import model_walk, models, reference

_LOG_TAIL = 2 * 1024 * 1024
_SHORTEST, _SHORTEST_WORD = 8, 16


@dataclasses.dataclass
class Report:
    """`files` by name; `missing` and `notes` say by name why there is none: it could not be had,
    or was not asked for."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)

    def take(self, name: str, make: Callable[[], bytes]) -> bool:
        """Add a part; False, with the reason noted, when it cannot be had."""
        try:
            self.files[name] = make()
        except (errors.Zk2EtcdError, OSError) as error:
            self.missing[name] = str(error)
        except Exception as error:  # a bug in one part is no reason to go without the others
            self.missing[name] = f"failed: {type(error).__name__}: {error}"
        return name in self.files

    @property
    def exit_code(self) -> int:
        """0: everything; 1: some of it; 3: nothing of a supervisor or of a configuration."""
        if "status.json" not in self.files and "config.yaml" not in self.files:
            return errors.Unreachable.exit_code
        return 1 if self.missing else 0


def of_this_installation(report: Report) -> None:
    facts = {**dataclasses.asdict(version.info()), "dependencies": version.dependencies()}
    report.take("version.json", lambda: _json(facts))
    report.take("environment.json", lambda: _json(machine.facts()))


def of_configuration(report: Report, settings: models.Config) -> None:
    """The configuration, redacted, and the end of its log file."""
    import yaml  # noqa: PLC0415

    def shown() -> bytes:
        found = models.redacted(settings)
        return yaml.safe_dump(found, sort_keys=False, allow_unicode=True).encode()

    report.take("config.yaml", shown)
    file = settings.log.file
    if file is None:
        report.notes["log.txt"] = "log.file is not set, so the log went to stderr: add it yourself"
    else:
        report.take("log.txt", lambda: _tail(file.path))


def of_supervisor(report: Report, client: admin_client.Client) -> None:
    """What the running supervisor tells; when it does not answer, it is not asked again."""
    if not report.take("status.json", lambda: _json(client.status())):
        why = report.missing["status.json"]
        names = ("metrics.txt", "history.json", "readyz.txt", "stacks.txt")
        report.missing.update(dict.fromkeys(names, why))
        return
    report.take("metrics.txt", lambda: client.fetch("/metrics"))
    report.take("history.json", lambda: client.fetch("/history"))
    report.take("readyz.txt", lambda: client.fetch("/readyz?verbose"))
    report.take("stacks.txt", lambda: _stacks(client.stacks()))


def known_secrets(settings: models.Config | None, others: Iterable[str | None]) -> set[str]:
    """Every secret that must not be in an archive, in each form in which it may be written."""
    found = {secret for secret in others if secret}
    if settings is not None:
        found.update(_of_model(settings))
    # A digest's credentials are user:password.
    found.update({part for secret in found for part in secret.split(":", 1)[1:]})
    forms = {
        form
        for secret in found
        for form in (secret, json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe=""))
    }
    return {form for form in forms if _is_told_apart(form)}


def plain_words(settings: models.Config | None, others: Iterable[str | None]) -> bool:
    """Whether one of these secrets is not looked for in texts. It is left out by its key alone."""
    found = {secret for secret in (*others, *_of_model(settings)) if secret}
    return not all(map(_is_told_apart, found))


def _is_told_apart(secret: str) -> bool:
    """Whether it can hardly stand in a text by chance. Where a common word is struck out, what is
    left shows which it was, and says other things than it did."""
    mixed = 0 < sum(map(str.isalpha, secret)) < len(secret)
    shortest = _SHORTEST if mixed else _SHORTEST_WORD
    return len(secret) >= shortest and secret.lower() not in reference.render().lower()


def write(path: pathlib.Path, report: Report, secrets: set[str], *, force: bool) -> None:
    """Write the archive, all of it or nothing, for this user's eyes only.

    :raises errors.UsageError: there is such a file, and no `force`; or it cannot be written.
    """
    content = _archive(path.name.partition(".")[0] or "zk2etcd-support", report, secrets)
    partial = path.with_name(f".{path.name}.{random_names.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if force:
                partial.replace(path)
            else:
                path.hardlink_to(partial)
        finally:
            partial.unlink(missing_ok=True)
    except FileExistsError:
        raise errors.UsageError(f"{path} is there already: --force, or another --output") from None
    except OSError as error:
        raise errors.UsageError(f"cannot write {path}: {error.strerror}") from error


def default_name(now: float) -> str:
    """`zk2etcd-support-20260102-030405.tar.gz`, in UTC."""
    return time.strftime("zk2etcd-support-%Y%m%d-%H%M%S.tar.gz", time.gmtime(now))


def _archive(top: str, report: Report, secrets: set[str]) -> bytes:
    # The longest first: one may be a part of another.
    hidden = sorted((secret.encode() for secret in secrets), key=len, reverse=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in {**report.files, "README.txt": _readme(report)}.items():
            for secret in hidden:
                content = content.replace(secret, model_walk.REDACTED.encode())  # noqa: PLW2901
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _readme(report: Report) -> bytes:
    lines = ["What `zk2etcd support` gathered. Secrets are redacted; node names are not.", ""]
    lines += [f"{name}: {len(content)} bytes" for name, content in report.files.items()]
    lines += [f"{name}: MISSING: {why}" for name, why in report.missing.items()]
    lines += [f"{name}: left out: {why}" for name, why in report.notes.items()]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _tail(path: str) -> bytes:
    """The last lines of the file, whole ones."""
    # What is no file would be waited for without an end: a FIFO that nobody writes to, say.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file")
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _LOG_TAIL))
        content = file.read(_LOG_TAIL)
    return content.partition(b"\n")[2] if size > _LOG_TAIL else content


def _stacks(found: dict[str, Any]) -> bytes:
    """:raises errors.Zk2EtcdError: not one process told."""
    told = {name: text for name, text in found["stacks"].items() if text}
    if not told:
        raise errors.Zk2EtcdError("no process wrote its stacks")
    parts = [
        f"--- {name}\n{text or 'it did not answer: is it stopped?'}\n"
        for name, text in found["stacks"].items()
    ]
    return "\n".join(parts).encode("utf-8", "replace")


def _of_model(value: object) -> Iterator[str]:
    if isinstance(value, pydantic.SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, pydantic.BaseModel):
        for name in type(value).model_fields:
            yield from _of_model(getattr(value, name))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _of_model(each)
