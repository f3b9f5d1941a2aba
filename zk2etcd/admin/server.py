"""The admin server: what people, Prometheus and orchestrators see of a running supervisor.

It runs in threads of the supervisor's process and knows only `control.Control`. Every answer is
made from one view, so no request can hold the supervisor's loop up. Who may ask is `access`'s.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import waitress.server
from waitress import wasyncore
from werkzeug import exceptions

from zk2etcd import errors
from zk2etcd.admin import access, http_channel
from zk2etcd.admin.web import page as pages
from zk2etcd.config import models
from zk2etcd.logs import logger
from zk2etcd.process import stacks
from zk2etcd.view import control, exposition, health, history, status

BODY_LIMIT = 64 * 1024
_LONGEST_NAME = 100
_LIMITS = {
    "threads": 4,
    # Many and briefly: clients that send half a request must not keep a probe from its answer.
    "connection_limit": 1000,
    "channel_timeout": 5,
    "cleanup_interval": 1,
    "asyncore_use_poll": True,
    "max_request_header_size": 16 * 1024,
    "max_request_body_size": 4 * BODY_LIMIT,
    "ident": "zk2etcd",
}
# What is asked waits for the supervisor's loop, in one of the threads that answer probes too.
_ASKING = threading.BoundedSemaphore(2)
_ASKING_WAIT = 1.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NUMBER = re.compile(r"-1|\d{1,18}", re.ASCII)
Answer = flask.Response


class Server:
    """A running admin server. `address` is what it bound, with the port that port 0 became."""

    def __init__(self, app: flask.Flask, sockets: list[socket.socket]) -> None:
        host, port = sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._map: dict[int, Any] = {}
        self._server = waitress.server.create_server(app, map=self._map, sockets=sockets, **_LIMITS)
        http_channel.use(self._map)
        self._thread = threading.Thread(target=self._server.run, name="admin", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port; returns when that is done. May be called twice."""
        for served in list(self._map.values()):
            # Only the server's own thread may touch its sockets.
            if isinstance(served, waitress.server.BaseWSGIServer):
                with contextlib.suppress(OSError):
                    served.trigger.pull_trigger(lambda: wasyncore.close_all(self._map, True))
                break
        self._thread.join(5.0)
        self._server.task_dispatcher.shutdown(timeout=1)


def serve(control: control.Control, http: Callable[[], models.Http], directory: str) -> Server:
    """Bind `http().listen` and serve from now on.

    `http` is asked at each request, so a reload changes token and hosts at once. `directory` is
    the metrics' folder. Raises errors.StartError when the address cannot be bound.
    """
    return Server(application(control, http, directory), bind(http().listen))


def application(
    control: control.Control, http: Callable[[], models.Http], directory: str
) -> flask.Flask:
    """The routes, as a WSGI application."""
    app = flask.Flask("zk2etcd.admin.web", static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # it would answer with a redirect
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT, PROPAGATE_EXCEPTIONS=False)
    app.before_request(lambda: _gate(http()))
    app.after_request(_secured)
    app.register_error_handler(Exception, _failed)
    _look(app, control, exposition.Aggregator(directory, control.snapshot))
    _ask(app, control)
    _ask_for_pauses(app, control)
    _ask_for_stacks(app, control, directory)
    return app


def bind(listen: str) -> list[socket.socket]:
    """A bound socket for each address of `host:port`. Raises errors.StartError with the remedy."""
    host, port = access.address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise errors.StartError(f"http.listen: {host} has no address: {error.strerror}") from error
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, place in found:
        try:
            sockets.append(socket.create_server(place, family=family))
        except OSError as error:
            failure = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break  # `localhost` may also name an IPv6 address that this host lacks
    if sockets and (failure is None or failure.errno != errno.EADDRINUSE):
        return sockets
    for one in sockets:
        one.close()
    raise errors.StartError(_why(listen, failure)) from failure


def _why(listen: str, failure: OSError | None) -> str:
    number = failure.errno if failure else None
    if number == errno.EADDRINUSE:
        return f"http.listen: {listen} is in use: stop what listens there, or choose another port"
    if number == errno.EACCES:
        return f"http.listen: {listen} is not allowed to this user: choose a port over 1023"
    reason = failure.strerror if failure else "no address"
    return f"http.listen: cannot listen on {listen}: {reason}"


# --- looking ------------------------------------------------------------------------------------


def _look(app: flask.Flask, control: control.Control, aggregator: exposition.Aggregator) -> None:

    @app.get("/metrics")
    def metrics() -> Answer:
        return Answer(aggregator.text(), content_type=exposition.CONTENT_TYPE)

    @app.get("/livez")
    @app.get("/healthz")
    def livez() -> Answer:
        return _health([health.live(control.snapshot())])

    @app.get("/readyz")
    def readyz() -> Answer:
        exclude = flask.request.args.getlist("exclude")
        unknown = set(exclude) - set(health.EXCLUDABLE)
        if unknown:
            known = ", ".join(health.EXCLUDABLE)
            raise exceptions.BadRequest(f"exclude takes {known}")
        return _health(health.ready(control.snapshot(), exclude))

    @app.get("/status")
    def document() -> Answer:
        return _json(status.document(control.snapshot(), time.time()))

    @app.get("/history")
    def recent() -> Answer:
        after = flask.request.args.get("after", "-1")
        if not _NUMBER.fullmatch(after):
            raise exceptions.BadRequest(
                "after is the number of a sample: `next` of the last answer"
            )
        found = control.recent(int(after))
        return _json(history.document(found, control.snapshot().instance))

    @app.get("/")
    def page() -> str:
        view = control.snapshot()
        found = status.document(view, time.time())
        alive = health.live(view).good
        return pages.page(found, view.settings, control.recent(None), alive=alive)


def _health(checks: list[health.Check]) -> Answer:
    good = all(check.good for check in checks)
    shown = [check for check in checks if "verbose" in flask.request.args or not check.good]
    lines = [f"[{'+' if c.good else '-'}] {c.name}: {c.detail}\n" for c in shown]
    body = "".join([*lines, "ok\n" if good else "not ok\n"])
    return Answer(body, status=200 if good else 503, content_type="text/plain; charset=utf-8")


# --- asking -------------------------------------------------------------------------------------


def _ask(app: flask.Flask, control: control.Control) -> None:

    @app.post("/full-sync")
    def full_sync() -> Answer:
        asked = _body("shards").get("shards")
        if asked is not None and not _texts(asked):
            raise exceptions.BadRequest("shards must be a list of shard ids")
        requested_at = time.time()
        with _answered():
            accepted = control.request_full_sync(asked)
        return _json({"accepted": list(accepted), "requested_at": requested_at}, 202)

    @app.post("/shards/<shard>/release")
    def release(shard: str) -> Answer:
        trip = _body("trip").get("trip")
        if not isinstance(trip, str):
            raise exceptions.BadRequest("trip must be the guard's id, as /status shows it")
        with _answered():
            guard = control.request_release(shard, trip, f"{flask.request.remote_addr} (HTTP)")
        answer = {"shard": shard, "trip": guard.id, "deletes": guard.deletes}
        return _json({**answer, "requested_at": time.time()}, 202)

    @app.post("/reload")
    def reload() -> Answer:
        _body()
        with _answered():
            result = control.request_reload()
        changed = list(result.changed)
        if result.ok:
            return _json({"ok": True, "changed": changed})
        faults = (result.error or "refused").splitlines()
        return _json({"error": "; ".join(faults), "faults": faults, "changed": changed}, 422)

    @app.post("/log")
    def log() -> Answer:
        level = _body("level").get("level")
        if not isinstance(level, str):
            raise exceptions.BadRequest("level must be debug, info, warning or error")
        with _answered():
            control.set_log_level(level)
        return _json({"level": level})


def _ask_for_pauses(app: flask.Flask, control: control.Control) -> None:

    def pausing(ask: Callable[[list[str] | None, str], tuple[str, ...]]) -> Answer:
        body = _body("shards", "by")
        asked, by = body.get("shards"), body.get("by", "HTTP")
        if asked is not None and not _texts(asked):
            raise exceptions.BadRequest("shards must be a list of shard ids")
        if not _is_name(by):
            raise exceptions.BadRequest(f"by must be at most {_LONGEST_NAME} printable characters")
        with _answered():
            accepted = ask(asked, f"{by} ({flask.request.remote_addr})")
        return _json({"accepted": list(accepted), "requested_at": time.time()}, 202)

    @app.post("/pause")
    def pause() -> Answer:
        return pausing(control.request_pause)

    @app.post("/resume")
    def resume() -> Answer:
        return pausing(control.request_resume)


def _ask_for_stacks(app: flask.Flask, control: control.Control, directory: str) -> None:
    """Answered without the supervisor's loop, which may hang: then one asks."""

    @app.post("/stacks")
    def gathered() -> Answer:
        _body()
        children = {worker.slot: worker.pid for worker in control.snapshot().workers if worker.pid}
        with _answered():
            found = stacks.gather(directory, children)
            return _json(
                {
                    "stacks": {
                        f"supervisor (pid {os.getpid()})": stacks.own(),
                        **{f"worker {s} (pid {p})": found.get(s) for s, p in children.items()},
                    }
                }
            )


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Turn what `Control` raises into HTTP answers, and log who asked."""
    request = flask.request
    if not _ASKING.acquire(timeout=_ASKING_WAIT):
        raise exceptions.ServiceUnavailable("other requests are under way: try again")
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
    finally:
        _ASKING.release()


def _body(*known: str) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty one. Raises BadRequest."""
    raw = flask.request.get_data(cache=False)
    try:
        body = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise exceptions.BadRequest("the body is not JSON") from error
    if not isinstance(body, dict) or set(body) - set(known):
        takes = f"takes {', '.join(known)}" if known else "takes no keys"
        raise exceptions.BadRequest(f"the body must be a JSON object; it {takes}")
    return body


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST_NAME


# --- every request ------------------------------------------------------------------------------


def _gate(http: models.Http) -> Answer | None:
    request = flask.request
    headers = {name: request.headers[name] for name in access.HEADERS if name in request.headers}
    refused = access.refusal(request.method, headers, http)
    if refused is None:
        return None
    answer = _json({"error": refused.error}, refused.status)
    if refused.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _secured(answer: Answer) -> Answer:
    answer.headers.update(_HEADERS)
    return answer


def _failed(error: Exception) -> Answer:
    if isinstance(error, exceptions.HTTPException):
        answer = _json({"error": error.description or error.name}, error.code or 500)
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            answer.headers["Allow"] = ", ".join(sorted(allowed))
        return answer
    logger.get().error("a request failed", path=flask.request.path, exc_info=error)
    return _json({"error": "internal error: see the supervisor's log"}, 500)


def _json(value: object, code: int = 200) -> Answer:
    # The standard encoder escapes what is not ASCII: also lone surrogates in a node's name.
    return Answer(json.dumps(value) + "\n", status=code, content_type="application/json")
