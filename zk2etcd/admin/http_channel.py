"""One connection to the admin server: it has only so much time to send a request.

waitress closes connections on which nothing moves. A client that sends a byte now and then would
hold its place for ever, and a thousand of those would keep probes from being answered. So here a
request counts as moving when it begins, not with each byte of it.
"""

from __future__ import annotations

import waitress.channel
from waitress import server, wasyncore


class Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]
    """Its `last_activity` is when the request that is being received began."""

    last_activity: float

    def handle_read(self) -> None:
        begun, since = self.request, self.last_activity
        super().handle_read()
        if begun is not None and self.request is begun:
            self.last_activity = since


def use(served: dict[int, wasyncore.dispatcher]) -> None:
    """Have the servers in this map of sockets make such channels."""
    for each in served.values():
        if isinstance(each, server.BaseWSGIServer):
            each.channel_class = Channel
