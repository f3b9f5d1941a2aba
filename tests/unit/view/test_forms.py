"""What another supervisor, or whatever listens at its address, may answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import flask
import pytest

from tests.unit import views
from zk2etcd.admin.web import page
from zk2etcd.view import forms, history, published, status, together

Document = dict[str, Any]


def theirs() -> Document:
    shards = views.running("b-1", 5, 10, guard=views.GUARD), views.shard("c-2")
    said = status.document(views.view(instance="host-2-def", shards=shards), views.NOW)
    found: Document = json.loads(json.dumps(said))
    return found


def _guard(**changes: Any) -> Callable[[Document], None]:
    return lambda shard: shard["guard"].update(changes)


def _progress(**changes: Any) -> Callable[[Document], None]:
    return lambda shard: shard["progress"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        _guard(since="x"),
        lambda shard: shard["guard"].pop("since"),
        _progress(read="x"),
        _progress(compared=[]),
        lambda shard: shard.update(id="b; reboot"),
        lambda shard: shard.update(id="$(reboot)"),
        lambda shard: shard.update(id=""),
    ],
)
def test_what_could_not_be_shown_is_refused(change: Callable[[Document], None]) -> None:
    """A page that fails would hide all the others."""
    found = theirs()
    assert forms.STATUS(found)
    change(found["shards"][0])
    assert not forms.STATUS(found)


@pytest.mark.parametrize("known", [{"read": 1, "compared": None}, {"read": 1}, {}])
def test_what_passes_can_be_shown(known: Document) -> None:
    found = theirs()
    for each in ("read", "compared", "written"):
        del found["shards"][0]["progress"][each]
    found["shards"][0]["progress"].update(known)
    assert forms.STATUS(found)
    other = published.Member("host-2-def", owned=2)
    view = views.view(cluster=views.cluster(other), shards=(views.elsewhere("b-1"),))
    all_ = together.merged(status.document(view, views.NOW), {"host-2-def": copy.deepcopy(found)})
    assert "b-1" in views.drawn(all_, everything=True)
    app = flask.Flask("zk2etcd.admin.web", static_folder="static", template_folder="templates")
    with app.test_request_context():
        assert "b-1" in page.page(all_, {}, history.Recent(0, (), {}), alive=True)
