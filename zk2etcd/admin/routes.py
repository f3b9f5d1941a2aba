"""What may be looked at. Each route answers from one view, so none can hold the supervisor's loop
up; the documents and texts themselves are made in `view`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import flask
from werkzeug import exceptions

from zk2etcd.admin import answers, gathered
from zk2etcd.admin.web import choice, page as pages
from zk2etcd.view import control, exposition, health, history, status, together

_NUMBER = re.compile(r"-1|\d{1,18}", re.ASCII)


def add(
    app: flask.Flask,
    control: control.Control,
    shared: gathered.Gathered,
    directory: Callable[[], str],
) -> None:
    """The GET routes; `directory` is the metrics' folder."""
    aggregator = exposition.Aggregator(directory, control.snapshot)

    @app.get("/metrics")
    def metrics() -> answers.Answer:
        return answers.Answer(aggregator.text(), content_type=exposition.CONTENT_TYPE)

    @app.get("/livez")
    @app.get("/healthz")
    def livez() -> answers.Answer:
        return _health([health.live(control.snapshot())])

    @app.get("/readyz")
    def readyz() -> answers.Answer:
        return _health(health.ready(control.snapshot(), _excluded()))

    @app.get("/status")
    def document() -> answers.Answer:
        if _is_asked_for("all"):
            return answers.of(shared.now())
        found = status.document(control.snapshot(), time.time())
        return answers.of(together.mine(found) if _is_asked_for("mine") else found)

    @app.get("/history")
    def recent() -> answers.Answer:
        after = flask.request.args.get("after", "-1")
        if not _NUMBER.fullmatch(after):
            raise exceptions.BadRequest(
                "after is the number of a sample: `next` of the last answer"
            )
        found = control.recent(int(after))
        return answers.of(history.document(found, control.snapshot().instance))

    @app.get("/")
    def page() -> str:
        return _page(control, shared)


def _page(control: control.Control, shared: gathered.Gathered) -> str:
    view = control.snapshot()
    found = shared.lately()
    alive = health.live(view).good
    wanted = choice.Wanted.of(flask.request.args)
    return pages.page(found, view.settings, control.recent(None), wanted, alive=alive)


def _is_asked_for(parameter: str) -> bool:
    return flask.request.args.get(parameter, "0") not in ("", "0")


def _excluded() -> list[str]:
    exclude = flask.request.args.getlist("exclude")
    if set(exclude) - set(health.EXCLUDABLE):
        known = ", ".join(health.EXCLUDABLE)
        raise exceptions.BadRequest(f"exclude takes {known}")
    return exclude


def _health(checks: list[health.Check]) -> answers.Answer:
    good = all(check.good for check in checks)
    shown = [check for check in checks if "verbose" in flask.request.args or not check.good]
    lines = [f"[{'+' if c.good else '-'}] {c.name}: {c.detail}\n" for c in shown]
    body = "".join([*lines, "ok\n" if good else "not ok\n"])
    return answers.Answer(
        body, status=200 if good else 503, content_type="text/plain; charset=utf-8"
    )
