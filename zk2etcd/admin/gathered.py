"""The status of all supervisors that share, as any of them shows it: which are asked, and for how
long what they said is shown again."""

from __future__ import annotations

import functools
import threading
import time

from zk2etcd.admin import peers
from zk2etcd.view import control, published, status, together

Document = together.Document
_FRESH, _OLD = 4.0, 30.0
"""Seconds for which what others said is shown as it is; and after which it is not worth showing."""
_PATIENCE = 0.3


class Gathered:
    """Used by the threads that answer looks."""

    def __init__(self, control: control.Control, others: peers.Peers) -> None:
        self._control = control
        self._others = others
        self._lock = threading.Lock()
        self._under_way: threading.Event | None = None
        self._last: tuple[float, dict[str, Document | str]] = (float("-inf"), {})

    def now(self) -> Document:
        """Everybody is asked."""
        view = self._control.snapshot()
        own = status.document(view, time.time())
        return together.merged(own, self._said(view))

    def lately(self) -> Document:
        """For who looks again and again: what others said may be some seconds old, so that many who
        look ask no more than one, and one that does not answer keeps nobody waiting each time."""
        view = self._control.snapshot()
        own = status.document(view, time.time())
        if view.cluster is None:
            return own
        age = time.monotonic() - self._last[0]
        if age > _FRESH:
            self._ask(view).wait(_PATIENCE if age < _OLD else peers.LOOK_SECONDS + _PATIENCE)
        return together.merged(own, self._last[1])

    def _ask(self, view: published.View) -> threading.Event:
        """Have all asked, if that is not under way; set when it is done."""
        with self._lock:
            if self._under_way is not None and not self._under_way.is_set():
                return self._under_way
            self._under_way = done = threading.Event()

        def ask() -> None:
            try:
                self._last = time.monotonic(), self._said(view)
            finally:
                done.set()

        threading.Thread(target=ask, name="gathered", daemon=True).start()
        return done

    def _said(self, view: published.View) -> dict[str, Document | str]:
        members = view.cluster.members if view.cluster is not None else ()
        asked = {
            each.name: functools.partial(self._others.status, each)
            for each in members
            if each.name != view.instance
        }
        found = peers.together(asked, peers.LOOK_SECONDS)()
        return {
            who: str(told) if isinstance(told, Exception) else told for who, told in found.items()
        }
