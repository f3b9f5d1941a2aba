"""The configuration in force, and how another takes its place: wholly or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from zk2etcd import errors
from zk2etcd.config import files, loader, models
from zk2etcd.logs import logger
from zk2etcd.view import control, published

Load = Callable[[], loader.Loaded]
# What the supervisor alone acts on: a change here is no reason to disturb a worker. Shards, which
# come of `prefixes` and `exclude`, travel by themselves.
_SUPERVISORS = ("cluster", "workers", "http", "reload", "log.level")
_SUPERVISORS_SYNC = ("prefixes", "exclude", "full_sync_interval", "full_sync_concurrency")


class Configuration:
    """Owned by the supervisor's loop. `loaded_at` in wall-clock seconds.

    `error` is why the last reload was refused, None after a good one. `settings` is what is in
    force as plain data, secrets redacted. `trace_id` is the last reload's, None before any, and
    `cause` that of the last one that took effect. `revision` counts the changes that are for the
    workers to act on. `log_level` is another than the file's once a person set it, until a reload
    that changes that.
    """

    def __init__(
        self, loaded: loader.Loaded, load: Load, paths: Sequence[str], wall_now: float
    ) -> None:
        self._loaded = loaded
        self.settings = models.redacted(loaded.config)
        self._load = load
        self._paths = tuple(paths)
        self._seen = fingerprint(self._paths)
        self.loaded_at = wall_now
        self.error: str | None = None
        self.trace_id: str | None = None
        self.cause = ""
        self.log_level: str = loaded.config.log.level
        self.revision = 0
        self.counts = {"ok": 0, "error": 0}

    @property
    def current(self) -> models.Config:
        return self._loaded.config

    @property
    def path(self) -> str:
        return ", ".join(self._paths)

    @property
    def sha256(self) -> str:
        return self._loaded.sha256

    def view(self) -> published.ConfigView:
        return published.ConfigView(
            self.path, self.loaded_at, self.sha256, self.error, self.trace_id, self._paths
        )

    def reload(self, wall_now: float, trace_id: str | None = None) -> control.ReloadResult:
        """Load again and take it over, unless it is faulty or needs a restart."""
        self.trace_id = trace_id
        self._seen = fingerprint(self._paths)
        try:
            fresh = self._load()
        except (errors.ConfigError, OSError) as error:
            return self._refused(str(error))
        except Exception as error:  # whatever a file does to a parser, the mirror goes on
            logger.get().exception("reading the configuration failed in an unforeseen way")
            return self._refused(f"cannot be read: {type(error).__name__}")
        changes = models.diff(self._loaded.config, fresh.config)
        changed = tuple(sorted(change.key for change in changes))
        fixed = sorted(change.key for change in changes if change.reload == "restart")
        if fixed:
            return self._refused(f"needs a restart to change: {', '.join(fixed)}", changed)
        try:
            if fresh.config.log.file != self.current.log.file:
                logger.check(fresh.config.log)
        except errors.StartError as error:
            return self._refused(str(error), changed)
        self._loaded, self.loaded_at, self.error = fresh, wall_now, None
        self.settings = models.redacted(fresh.config)
        self.counts["ok"] += 1
        self.cause = trace_id or ""
        self.revision += concerns_workers(changed)
        return control.ReloadResult(True, None, changed)

    def touched(self) -> bool:
        """The files' content is another than at the last reload, a refused one included.

        The content, since a ConfigMap changes by a symlink swap that leaves times and inodes
        of the path itself alone. Unreadable is not another: a swap may be under way. Files that
        hold secrets are looked at as well.
        """
        found = fingerprint(self._paths)
        if found is None or found != self._seen:
            return found is not None
        return self.error is None and self._secrets() != self._loaded.secrets_sha256

    def _secrets(self) -> str:
        try:
            return self._load().secrets_sha256
        except (errors.ConfigError, OSError):
            return self._loaded.secrets_sha256
        except Exception:  # as at a reload: a look ends nothing, whatever a file does to a parser
            logger.get().exception("looking at the configuration failed in an unforeseen way")
            return self._loaded.secrets_sha256

    def _refused(self, reason: str, changed: tuple[str, ...] = ()) -> control.ReloadResult:
        self.error = reason
        self.counts["error"] += 1
        return control.ReloadResult(False, reason, changed)


def concerns_workers(changed: Iterable[str]) -> bool:
    """Whether one of these dotted keys is for the workers to act on, by themselves."""
    sync = tuple(f"sync.{key}" for key in _SUPERVISORS_SYNC)
    return any(not _at_or_below(key, (*_SUPERVISORS, *sync)) for key in changed)


def _at_or_below(key: str, sections: Iterable[str]) -> bool:
    return any(key == section or key.startswith(section + ".") for section in sections)


def fingerprint(paths: Sequence[str]) -> str | None:
    """A digest of the content of the files, None while one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = files.read(path, loader.LARGEST)
        except files.UnfitError as error:  # to be refused, and said, once
            content = str(error).encode()
        except ValueError:
            return None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
