"""The admin server: where people, Prometheus and orchestrators reach a running supervisor.

It runs in threads of the supervisor's process and knows only `control.Control`. What may be looked
at is in `routes`, what may be asked for in `orders`, and who may do so is `access`'s.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import flask
from waitress import adjustments, wasyncore

from zk2etcd.admin import (
    access,
    answers,
    forwarding,
    gathered,
    http_door,
    http_lanes,
    orders,
    peers,
    routes,
    signing,
)
from zk2etcd.config import models
from zk2etcd.process import limits
from zk2etcd.view import control, published

BODY_LIMIT = 64 * 1024
_IN_MEMORY = 1024 * 1024 * 1024
_SETTINGS = {
    "max_request_header_size": 16 * 1024,
    "max_request_body_size": 4 * BODY_LIMIT,
    # The next request is looked at when the last answer has gone out.
    "channel_request_lookahead": 0,
    # No thread waits for a client that takes nothing, and no file is opened for it: how many bytes
    # may wait is `http_door`'s.
    "outbuf_high_watermark": _IN_MEMORY,
    "outbuf_overflow": _IN_MEMORY,
    "ident": "zk2etcd",
}


class Server:
    """A running admin server.

    :param most: how many connections there may be now.
    """

    def __init__(
        self, app: Any, sockets: list[socket.socket], most: Callable[[], int] = lambda: 100
    ) -> None:
        self._map: http_door.Sockets = {}
        self._lanes = http_lanes.Lanes(http_door.MOST)
        adj = adjustments.Adjustments(sockets=sockets, **_SETTINGS)
        for sock in sockets:
            self._door = http_door.Door(app, sock, self._map, self._lanes, adj, most)
        self._thread = threading.Thread(
            target=http_door.run, args=(self._map,), name="admin", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port; returns when that is done. May be called twice."""
        # First those who answer: without their connection they would fail, as if by a bug.
        self._lanes.shutdown()
        # Only the server's own thread may touch its sockets.
        with contextlib.suppress(OSError):
            self._door.trigger.pull_trigger(lambda: wasyncore.close_all(self._map, True))
        self._thread.join(5.0)


def serve(
    sockets: list[socket.socket],
    control: control.Control,
    http: Callable[[], models.Http],
    directory: Callable[[], str],
) -> Server:
    """Serve at these, which listen already, from now on.

    `http` is asked at each request, so a reload changes token and hosts at once. `directory` is
    the metrics' folder.
    """

    def most() -> int:
        return http_door.room(limits.descriptors(), len(control.snapshot().workers))

    app = application(control, http, directory)
    return Server(_without_files(app), sockets, most)


def application(
    control: control.Control, http: Callable[[], models.Http], directory: Callable[[], str]
) -> flask.Flask:
    """The routes, as a WSGI application."""
    app = flask.Flask("zk2etcd.admin.web", static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # it would answer with a redirect
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT, PROPAGATE_EXCEPTIONS=False)
    app.before_request(lambda: _gate(http(), control.snapshot))
    app.after_request(answers.secured)
    app.register_error_handler(Exception, answers.failed)
    others = peers.Peers(http)
    routes.add(app, control, gathered.Gathered(control, others), directory)
    orders.add(app, control, forwarding.Forwarding(control, others), directory)
    return app


def _signs(authorization: str, token: str) -> bool:
    request = flask.request
    if not authorization.upper().startswith(f"{signing.SCHEME} "):
        return False
    meant = request.headers.get(signing.FORWARDED, "")
    signed = signing.Request(meant, request.method, request.path, request.get_data())
    return signing.is_good(authorization, signed, token, time.time())


def _without_files(app: flask.Flask) -> Any:
    """The same, whose answers are bytes: none keeps a file open until a client has taken it."""

    def served(environ: dict[str, Any], start: Any) -> Any:
        environ.pop("wsgi.file_wrapper", None)
        return app(environ, start)

    return served


def _gate(http: models.Http, view: Callable[[], published.View]) -> answers.Answer | None:
    request = flask.request
    headers = {name: request.headers[name] for name in access.HEADERS if name in request.headers}
    meant = request.headers.get(signing.FORWARDED)
    refused = access.refusal(request.method, headers, http, _signs)
    if refused is None and meant is not None and meant != (ours := view().instance):
        what = f"this is {ours}, not {meant}: see that one's http.advertise"
        refused = access.Refusal(peers.MISDIRECTED, what)
    if refused is None:
        return None
    answer = answers.of({"error": refused.error}, refused.status)
    if refused.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
