"""Who else has marks in this etcd: mirrors with our `state.prefix`, and with any other.

Two ensembles that share a range have a state prefix each, and a folder's empty value is the same in
both: without a look at the others' marks one would take over what the other has created.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.ownership import formats, records

_PAGE, _MOST = 1_000, 2_000
"""Keys a read; and reads, after which nobody waits for more."""
_MARK = re.compile(rb"(?s)(.+?)/owned/[^/]+-[0-9a-f]{8}(?=/|\Z)")
_ALL = ((b"\0", b"/"), (b"0", b"\0"))
"""The keys that do not begin with a slash: what is mirrored does, and no state prefix."""


class Others(NamedTuple):
    """What their marks begin with: by id, of another state prefix by that and the id. `all_seen`:
    there are no more of them."""

    bases: dict[str, bytes]
    all_seen: bool


def known(client: etcd.Client, keys: records.Keys) -> Others:
    """Our own is among them.

    :raises errors.EtcdError: etcd did not answer.
    """
    bases = formats.marking(client, keys)
    own, left = keys.all_of("owned"), _MOST
    try:
        for start, end in _ALL:
            place: bytes | None = start
            while place is not None and left:
                place, left = _look(client, place, end, own, bases), left - 1
    except errors.EtcdDenied:
        return Others(bases, all_seen=False)
    return Others(bases, all_seen=left > 0)


def _look(
    client: etcd.Client, place: bytes, end: bytes, own: tuple[bytes, bytes], bases: dict[str, bytes]
) -> bytes | None:
    """Where to go on, behind the marks of a mirror, or the page; None if that was all."""
    page = client.range(place, end, limit=_PAGE, keys_only=True)
    for key in page.keys:
        if own[0] <= key < own[1]:
            return own[1]
        if (mark := _MARK.match(key)) is not None:
            bases[mark[0].decode(errors="replace")] = mark[0]
            return mark[0] + b"0"
    return page.keys[-1] + b"\0" if page.more else None
