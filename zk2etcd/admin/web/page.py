"""The page for people at `/`: what `status` says, drawn from the same document; needs no internet.

Names of znodes are hostile input, so the template escapes all by itself, and the page's policy
lets nothing run or load but the files served beside it. The server draws all but the charts: the
page's script asks for it again and takes over what differs, so nothing is worded twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from zk2etcd import text
from zk2etcd.admin.web import choice, wording
from zk2etcd.view import history, membership, problems, status

_ALL = choice.Wanted()


def page(
    found: Mapping[str, Any],
    settings: Mapping[str, Any],
    recent: history.Recent,
    wanted: choice.Wanted = _ALL,
    *,
    alive: bool,
) -> str:
    """The HTML of one status document with the configuration in force and the newest sample.

    `alive`: the supervisor's loop turns, so that the document is true. Needs flask's application
    context.
    """
    return flask.render_template(
        "page.html",
        found=found,
        shown=choice.shown(found, wanted),
        settings=wording.settings(settings),
        headline=wording.headline(found, alive),
        problems=wording.worst_first(problems.of(found)),
        summary=status.summary(found),
        totals=wording.totals(found),
        by_id={shard["id"]: shard for shard in found["shards"]},
        members=membership.listed(found),
        owners={
            each["id"]: each["supervisor"] for each in membership.placed(found["shards"], found)
        },
        rates={shard: series.rate[-1] for shard, series in recent.shards.items() if series.rate},
        full_syncs=wording.full_syncs(recent, {s["id"]: status.source(s) for s in found["shards"]}),
        commands=wording.commands,
        progress=status.progress,
        source=status.source,
        work=wording.work,
        tone=wording.tone,
        rate=wording.rate,
        ended=wording.ended,
        pieces=wording.pieces,
        printable=text.printable,
        shortened=text.shortened,
        duration=text.duration,
        size=text.size,
        now=status.seconds(found["at"]),
        seconds=status.seconds,
    )
