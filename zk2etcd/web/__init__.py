"""The page for people at `/`: what `status` says, drawn from the same document; needs no internet.

Names of znodes are hostile input, so the template escapes all by itself, and the page's policy
lets nothing run or load but the two files served beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from zk2etcd import status, text


def page(found: Mapping[str, Any]) -> str:
    """The HTML of one status document; needs flask's application context."""
    return flask.render_template(
        "page.html",
        found=found,
        problems=status.problems(found),
        summary=status.summary(found),
        progress=status.progress,
        printable=text.printable,
        duration=text.duration,
        size=text.size,
        now=status.seconds(found["at"]),
        seconds=status.seconds,
    )
