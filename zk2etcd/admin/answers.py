"""The form of every answer of the admin address: JSON, errors included, under headers that let a
browser do nothing else with it."""

from __future__ import annotations

import json

import flask
from werkzeug import exceptions

from zk2etcd.logs import logger

Answer = flask.Response
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def of(value: object, code: int = 200) -> Answer:
    """This value as JSON."""
    # The standard encoder escapes what is not ASCII: also lone surrogates in a node's name.
    return Answer(json.dumps(value) + "\n", status=code, content_type="application/json")


def secured(answer: Answer) -> Answer:
    """The answer with the headers that all have."""
    answer.headers.update(_HEADERS)
    return answer


def failed(error: Exception) -> Answer:
    """The answer to a request that raised this."""
    if isinstance(error, exceptions.HTTPException):
        answer = of({"error": error.description or error.name}, error.code or 500)
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            answer.headers["Allow"] = ", ".join(sorted(allowed))
        return answer
    logger.get().error("a request failed", path=flask.request.path, exc_info=error)
    return of({"error": "internal error: see the supervisor's log"}, 500)
