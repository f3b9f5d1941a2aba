"""What may be asked for: each route turns a body into one call of `control.Control`, and what that
raises into an answer. `access` has let the request in by then."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
from werkzeug import exceptions

from zk2etcd.admin import answers
from zk2etcd.logs import logger
from zk2etcd.process import stacks
from zk2etcd.view import control, strict_json

_LONGEST_NAME = 100


def add(app: flask.Flask, control: control.Control, directory: Callable[[], str]) -> None:
    """The POST routes; `directory` is the metrics' folder, where stacks are gathered too."""
    orders = _Orders(control, directory)
    app.post("/full-sync")(orders.full_sync)
    app.post("/pause")(orders.pause)
    app.post("/resume")(orders.resume)
    app.post("/shards/<shard>/release")(orders.release)
    app.post("/reload")(orders.reload)
    app.post("/log")(orders.log)
    app.post("/stacks")(orders.stacks)


class _Orders:
    def __init__(self, control: control.Control, directory: Callable[[], str]) -> None:
        self._control = control
        self._directory = directory

    def full_sync(self) -> answers.Answer:
        asked = _shards(_body("shards"))
        requested_at = time.time()
        with _answered():
            accepted = self._control.request_full_sync(asked)
        return answers.of({"accepted": list(accepted), "requested_at": requested_at}, 202)

    def pause(self) -> answers.Answer:
        return _pausing(self._control.request_pause)

    def resume(self) -> answers.Answer:
        return _pausing(self._control.request_resume)

    def release(self, shard: str) -> answers.Answer:
        trip = _body("trip").get("trip")
        if not isinstance(trip, str):
            raise exceptions.BadRequest("trip must be the guard's id, as /status shows it")
        with _answered():
            by = f"{flask.request.remote_addr} (HTTP)"
            guard = self._control.request_release(shard, trip, by)
        answer = {"shard": shard, "trip": guard.id, "deletes": guard.deletes}
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


def _pausing(ask: Callable[[list[str] | None, str], tuple[str, ...]]) -> answers.Answer:
    body = _body("shards", "by")
    asked, by = _shards(body), body.get("by", "HTTP")
    if not _is_name(by):
        raise exceptions.BadRequest(f"by must be at most {_LONGEST_NAME} printable characters")
    with _answered():
        accepted = ask(asked, f"{by} ({flask.request.remote_addr})")
    return answers.of({"accepted": list(accepted), "requested_at": time.time()}, 202)


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


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST_NAME
