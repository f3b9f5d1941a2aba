"""Asks a running supervisor over its admin address: the other half of `admin`."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zk2etcd import errors, exchange
from zk2etcd.view import forms, status, strict_json

DEFAULT_URL = exchange.DEFAULT_URL
_POLL = 0.2
_POLL_ALL = 1.0  # where several supervisors are asked for each
# Longer than the supervisor's own for the same, whose words are better than ours.
_ORDER_DEADLINE = 7.0
_CONFIG_DEADLINE = 33.0
_STACKS_DEADLINE = 15.0

Document = dict[str, Any]
Seen = Callable[[Document], object]
"""Given each status that was looked at."""


class Client:
    """The supervisor at `url`; `token` goes with each request, `timeout` (seconds) bounds each.

    Every method raises errors.Unreachable when nothing useful answers, errors.UsageError when
    the supervisor refuses what was asked (a missing token, an unknown shard).
    """

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, timeout: float = 5.0):
        self.place = exchange.place(url)
        self.url = str(self.place)
        self._token = token
        self._timeout = timeout
        self._patience = max(timeout, _ORDER_DEADLINE)
        self._asked: dict[str, float] = {}
        self.refused: tuple[Document, ...] = ()
        """Of the last order to several supervisors, what was not taken: `shards`, the HTTP `status`
        of that, and the `error` in words."""

    def status(self) -> dict[str, Any]:
        """The /status document (`status.document`); where several supervisors share the shards,
        with those of all of them (`together.merged`)."""
        found = self._ask("GET", "/status?all=1", forms.VERSIONED)
        if found["schema_version"] != 1:
            raise errors.Unreachable(f"what answers at {self.url} is not a zk2etcd of our kind")
        if not forms.STATUS(found):
            raise self._strange(200)
        return found

    def full_sync(self, shards: Sequence[str] | None = None) -> tuple[str, ...]:
        """Ask for a full sync of these shards now, of all with None; the ids accepted."""
        body = {} if shards is None else {"shards": [*shards]}
        answer = self._ordered("/full-sync", body)
        accepted = tuple(answer["accepted"])
        self._asked.update(dict.fromkeys(accepted, float(answer["requested_at"])))
        self._asked.update(answer.get("requested_at_by_shard", {}))
        return accepted

    def wait_full_sync(
        self, shards: Sequence[str], timeout: float, progress: Seen = lambda _: None
    ) -> Document:
        """Wait until each shard finished a full sync that began after this client asked for it.

        Returns the last status; `progress` sees each. Raises errors.Zk2EtcdError when `timeout`
        seconds pass, or when a shard leaves the configuration meanwhile.
        """
        return self.wait_for(shards, self._finished, timeout, progress)

    def release(self, shard: str, trip: str) -> dict[str, Any]:
        """Let the deletes of the shard's guard happen, if its trip is still `trip`; or those of
        what is kept, by its id.

        Raises errors.Zk2EtcdError when it is another by now, or none.
        """
        place = urllib.parse.quote(shard, safe="")
        path = f"/shards/{place}/release"
        return self._ask("POST", path, forms.RELEASED, {"trip": trip}, self._patience)

    def wait_released(
        self,
        trips: Mapping[str, str],
        timeout: float,
        progress: Seen = lambda _: None,
        kept: Mapping[str, str] | None = None,
    ) -> Document:
        """Wait until none of these trips, by shard, stands, and nothing of that id is `kept`; the
        last status. `progress` sees each.

        Raises errors.Zk2EtcdError when `timeout` seconds pass.
        """
        asked = {"guard": trips, "kept_last": kept or {}}

        def standing(found: Document) -> list[Document]:
            return [
                shard
                for shard in found["shards"]
                if any(_stands(shard, kind, ids) for kind, ids in asked.items())
            ]

        return self._wait(standing, timeout, progress)

    def pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """Have these shards paused, all with None; the ids accepted. `by` says who asks.

        Raises errors.Zk2EtcdError for one that another supervisor owns.
        """
        return self._named("/pause", shards, by)

    def resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """End the pause of these shards, of all that are paused with None; the ids accepted.

        Raises errors.Zk2EtcdError for one that is not paused.
        """
        return self._named("/resume", shards, by)

    def _named(self, path: str, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        named = None if shards is None else list(shards)
        return tuple(self._ordered(path, {"shards": named, "by": by})["accepted"])

    def _ordered(self, path: str, body: Document) -> Document:
        self.refused = ()
        answer = self._ask("POST", path, forms.ACCEPTED, body, self._patience)
        self.refused = tuple(answer.get("refused", ()))
        return answer

    def wait_for(
        self,
        shards: Sequence[str],
        reached: Callable[[Document], bool],
        timeout: float,
        progress: Seen = lambda _: None,
    ) -> Document:
        """Wait until each of these shards is as `reached` says; the last status. `progress` sees
        each.

        Raises errors.Zk2EtcdError when `timeout` seconds pass, or when one leaves the
        configuration meanwhile.
        """

        def still_open(found: Document) -> list[Document]:
            by_id = {shard["id"]: shard for shard in found["shards"]}
            if gone := [shard for shard in shards if shard not in by_id]:
                raise errors.Zk2EtcdError(f"no longer configured: {', '.join(gone)}")
            return [by_id[shard] for shard in shards if not reached(by_id[shard])]

        return self._wait(still_open, timeout, progress)

    def _wait(
        self, still_open: Callable[[Document], list[Document]], timeout: float, progress: Seen
    ) -> Document:
        deadline = time.monotonic() + timeout
        while True:
            found = self.status()
            progress(found)
            if not (open_ := still_open(found)):
                return found
            if time.monotonic() >= deadline:
                raise errors.Zk2EtcdError(f"not done after {timeout:g} s: {_reasons(open_)}")
            time.sleep(_POLL_ALL if found.get("cluster") else _POLL)

    def reload(self) -> tuple[str, ...]:
        """Have the configuration read again; the keys that changed.

        Raises errors.ConfigError with the faults when it was refused and the old one kept.
        """
        return tuple(self._ask("POST", "/reload", forms.RELOADED, {}, _CONFIG_DEADLINE)["changed"])

    def stacks(self) -> dict[str, Any]:
        """{"stacks": {process: its threads' stacks, None if it did not write them}}."""
        return self._ask("POST", "/stacks", forms.STACKS, {}, _STACKS_DEADLINE)

    def fetch(self, path: str) -> bytes:
        """What stands at `path`, whatever the HTTP status."""
        return self.exchange("GET", path)[1]

    def log(self, level: str) -> None:
        """Change the log level of every process (debug, info, warning, error)."""
        self._ask("POST", "/log", forms.LOGGED, {"level": level}, self._patience)

    def _finished(self, shard: dict[str, Any]) -> bool:
        last = shard["last_full_sync"]
        if last is None:
            return False
        began = status.seconds(last["at"]) - last["took_seconds"]
        slack = 0.005  # both figures are rounded to milliseconds
        return bool(began + slack >= self._asked.get(shard["id"], 0.0))

    def _ask(
        self,
        method: str,
        path: str,
        form: forms.Check,
        body: object = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        code, raw = self.exchange(method, path, body, timeout)
        try:
            answer = _printable(strict_json.loads(raw))
        except (ValueError, RecursionError):
            answer = None
        if not (forms.ERROR if code >= 300 else form)(answer):
            raise self._strange(code)
        if code >= 300:
            raise self._refusal(code, answer)
        found: dict[str, Any] = answer
        return found

    def _strange(self, code: int) -> errors.Unreachable:
        return errors.Unreachable(
            f"what answers at {self.url} is not zk2etcd (HTTP {code}): check the address"
        )

    def _refusal(self, code: int, answer: dict[str, Any]) -> errors.Zk2EtcdError:
        said = str(answer["error"])
        if code == 422:
            return errors.ConfigError(answer.get("faults", [said]))
        if code == 409:
            return errors.Zk2EtcdError(said)
        if code == 401:
            said += ": give it in ZK2ETCD_TOKEN, or the configuration with -c"
        if code >= 500:
            return errors.Unreachable(f"the supervisor at {self.url} cannot: {said}")
        return errors.UsageError(f"the supervisor at {self.url} refused: {said}")

    def exchange(
        self, method: str, path: str, body: object = None, timeout: float | None = None
    ) -> tuple[int, bytes]:
        """(HTTP status, what came with it)."""
        headers: dict[str, str | bytes]
        headers = {"Accept": "application/json", "Connection": "close"}
        if self._token:
            headers["Authorization"] = b"Bearer " + self._token.encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        to, limit = self.place, timeout or self._timeout
        try:
            return exchange.exchange(
                to.scheme, to.address, method, to.path + path, headers, body, limit
            )
        except exchange.Unanswered as error:
            what = f"no supervisor answers at {self.url}: {error}; "
            if body is not None and error.sent:
                what += "what was asked may still be done: see `zk2etcd status`; "
            raise errors.Unreachable(
                f"{what}is it running, and is this its http.listen? (--url, or -c with its file)"
            ) from error


def _printable(answer: Any) -> Any:
    """The same without halves of characters, which JSON may hold and no terminal takes."""
    whole = json.dumps(answer, ensure_ascii=False)
    if whole.isascii():
        return answer
    return json.loads(whole.encode("utf-8", "replace"))


def _stands(shard: dict[str, Any], kind: str, ids: Mapping[str, str]) -> bool:
    wanted = ids.get(shard["id"])
    if wanted is None:
        return False
    # A worker that starts over knows of the trip again when its base has begun.
    held = shard.get(kind)
    return held["id"] == wanted if held else shard["phase"] not in ("following", "guarded")


def _reasons(shards: list[dict[str, Any]]) -> str:
    said = [
        f"{shard['id']} is {shard['phase']}" + (f" ({shard['error']})" if shard["error"] else "")
        for shard in shards
    ]
    return "; ".join(said)
