"""What `check` says of members."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit import settings
from zk2etcd_workers.commands import probe_members


@pytest.mark.parametrize(("failing", "named"), [(["a", 7], "a, 7"), (7, ""), ("ab", ""), ({}, "")])
def test_what_somebody_else_wrote_ends_no_check(failing: Any, named: str) -> None:
    said = {"shares": True, "failing": failing, "name": ["x"], "version": {}}
    found = list(probe_members._member("m", said, 1, settings.configured(("/a",))))
    texts = [each.text for each in found if "could not mirror" in each.text]
    assert texts == ([f"supervisor m could not mirror {named}"] if named else [])
