"""What may be asked for: each route turns a body into one call of `control.Control`, and what that
raises into an answer. `access` has let the request in by then."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flask
from werkzeug import exceptions

from zk2etcd.admin import answers, forwarding, signing
from zk2etcd.logs import logger
from zk2etcd.process import stacks
from zk2etcd.view import control, strict_json

_LONGEST_NAME = 100
_LONGEST_HANDED_ON = 200


def add(
    app: flask.Flask,
    control: control.Control,
    shared: forwarding.Forwarding,
    directory: Callable[[], str],
) -> None:
    """The POST routes; `directory` is the metrics' folder, where stacks are gathered too."""
    orders = _Orders(control, shared, directory)
    app.post("/full-sync")(orders.full_sync)
    app.post("/pause")(orders.pause)
    app.post("/resume")(orders.resume)
    app.post("/shards/<shard>/release")(orders.release)
    app.post("/reload")(orders.reload)
    app.post("/log")(orders.log)
    app.post("/stacks")(orders.stacks)


class _Orders:
    def __init__(
        self,
        control: control.Control,
        shared: forwarding.Forwarding,
        directory: Callable[[], str],
    ) -> None:
        self._control = control
        self._shared = shared
        self._directory = directory

    def full_sync(self) -> answers.Answer:
        asked = _shards(_body("shards"))
        requested_at = time.time()
        with _answered():
            taken = self._shared.order(
                "/full-sync", asked, None, self._control.request_full_sync, last=_is_handed_on()
            )
        return _taken(taken, requested_at)

    def pause(self) -> answers.Answer:
        return self._pausing("/pause", self._control.request_pause)

    def resume(self) -> answers.Answer:
        return self._pausing("/resume", self._control.request_resume)

    def _pausing(
        self, path: str, ask: Callable[[Sequence[str] | None, str], tuple[str, ...]]
    ) -> answers.Answer:
        body = _body("shards", "by")
        asked, by = _shards(body), _by(body)
        requested_at = time.time()
        with _answered():
            taken = self._shared.order(
                path, asked, by, lambda shards: ask(shards, by), last=_is_handed_on()
            )
        return _taken(taken, requested_at)

    def release(self, shard: str) -> answers.Answer:
        body = _body("trip", "by")
        trip = body.get("trip")
        if not isinstance(trip, str):
            raise exceptions.BadRequest("trip must be the guard's id, as /status shows it")
        by = _by(body) if "by" in body else f"{flask.request.remote_addr} (HTTP)"
        with _answered():
            deletes = self._shared.release(
                shard,
                trip,
                by,
                lambda: self._control.request_release(shard, trip, by).deletes,
                last=_is_handed_on(),
            )
        answer = {"shard": shard, "trip": trip, "deletes": deletes}
        return answers.of({**answer, "requested_at": time.time()}, 202)

    def reload(self) -> answers.Answer:
        _body()
        with _answered():
            result = self._control.request_reload()
        changed = list(result.changed)
        if result.ok:
            return answers.of({"ok": True, "changed": changed})
        faults = (result.error or "refused").splitlines()
        return answers.of({"error": "; ".join(faults), "faults": faults, "changed": changed}, 422)

    def log(self) -> answers.Answer:
        level = _body("level").get("level")
        if not isinstance(level, str):
            raise exceptions.BadRequest("level must be debug, info, warning or error")
        with _answered():
            self._control.set_log_level(level)
        return answers.of({"level": level})

    def stacks(self) -> answers.Answer:
        """Answered without the supervisor's loop, which may hang: then one asks."""
        _body()
        workers = self._control.snapshot().workers
        children = {worker.slot: worker.pid for worker in workers if worker.pid}
        with _answered():
            found = stacks.gather(self._directory(), children)
            theirs = {f"worker {s} (pid {p})": found.get(s) for s, p in children.items()}
            own = {f"supervisor (pid {os.getpid()})": stacks.own()}
            return answers.of({"stacks": {**own, **theirs}})


def _taken(taken: forwarding.Taken, requested_at: float) -> answers.Answer:
    answer: dict[str, Any] = {"accepted": list(taken.accepted), "requested_at": requested_at}
    if taken.requested_at:
        answer["requested_at_by_shard"] = dict(taken.requested_at)
    if taken.refused:
        answer["refused"] = [each._asdict() for each in taken.refused]
    return answers.of(answer, 202)


def _by(body: dict[str, Any]) -> str:
    """Who asks, as they say, and from where. Raises BadRequest."""
    by, handed_on = body.get("by", "HTTP"), _is_handed_on()
    longest = _LONGEST_HANDED_ON if handed_on else _LONGEST_NAME
    if not (isinstance(by, str) and by.isprintable() and 0 < len(by) <= longest):
        raise exceptions.BadRequest(f"by must be at most {longest} printable characters")
    where = flask.request.remote_addr
    return f"{by} by way of {where}" if handed_on else f"{by} ({where})"


def _is_handed_on() -> bool:
    """Another supervisor was asked, and asks us."""
    return signing.FORWARDED in flask.request.headers


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Turn what `Control` raises into HTTP answers, and log who asked."""
    request = flask.request
    logger.get().info("asked over HTTP", path=request.path, remote=request.remote_addr)
    try:
        yield
    except control.UnknownShard as error:
        raise exceptions.NotFound(f"no such shard: {', '.join(error.ids)}") from error
    except control.Conflict as error:
        raise exceptions.Conflict(str(error)) from error
    except control.Unavailable as error:
        raise exceptions.ServiceUnavailable(str(error)) from error
    except forwarding.Failed as error:
        refused = exceptions.HTTPException(str(error))
        refused.code = error.status
        raise refused from error
    except ValueError as error:
        raise exceptions.BadRequest(str(error)) from error


def _body(*known: str) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty one. Raises BadRequest."""
    raw = flask.request.get_data(cache=False)
    try:
        body = strict_json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise exceptions.BadRequest("the body is not plain JSON") from error
    if not isinstance(body, dict) or set(body) - set(known):
        takes = f"takes {', '.join(known)}" if known else "takes no keys"
        raise exceptions.BadRequest(f"the body must be a JSON object; it {takes}")
    return body


def _shards(body: dict[str, Any]) -> list[str] | None:
    """The ids that the body names, None for all. Raises BadRequest."""
    asked: list[str] | None = body.get("shards")
    texts = isinstance(asked, list) and all(isinstance(one, str) for one in asked)
    if asked is not None and not texts:
        raise exceptions.BadRequest("shards must be a list of shard ids")
    return asked
