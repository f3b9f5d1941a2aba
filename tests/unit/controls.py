"""What the admin server asks, made of views: it notes what it is asked to change."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit import views
from zk2etcd import conditions
from zk2etcd.view import control, history, published

TOKEN = "s3cret-t0ken"
SHARD = views.view().shards[0].id


class Control:
    """Notes what it is asked to change."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self._history = history.History()

    def snapshot(self) -> published.View:
        return views.view()

    def recent(self, after: int | None) -> history.Recent:
        return self._history.recent(after)

    def request_full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        return self._named("full-sync", shards)

    def request_pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._named(f"pause by {by}", shards)

    def request_resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._named(f"resume by {by}", shards)

    def request_release(self, shard: str, trip: str, by: str) -> conditions.Guard:
        self._named(f"release by {by}", [shard])
        if trip != views.GUARD.id:
            raise control.Conflict(f"the trip is not {trip}")
        return views.GUARD

    def request_reload(self) -> control.ReloadResult:
        self.changed.append("reload")
        return control.ReloadResult(ok=True)

    def set_log_level(self, level: str) -> None:
        self.changed.append("log")
        if level not in ("debug", "info"):
            raise ValueError(f"unknown log level {level!r}")

    def _named(self, what: str, shards: Sequence[str] | None) -> tuple[str, ...]:
        self.changed.append(what)
        if unknown := [shard for shard in shards or () if shard != SHARD]:
            raise control.UnknownShard(unknown)
        return (SHARD,)
