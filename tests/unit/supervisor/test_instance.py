from __future__ import annotations

from zk2etcd.supervisor import instance


def test_two_supervisors_never_share_a_name() -> None:
    names = {instance.new("box.example.org") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("box-example-org-") for name in names)
    assert instance.new("").startswith("host-")


def test_the_admin_url_names_a_host_that_others_may_reach() -> None:
    assert instance.admin_url("127.0.0.1:9180") == "http://127.0.0.1:9180"
    assert instance.admin_url("0.0.0.0:9180", "box") == "http://box:9180"
    assert instance.admin_url("[::]:9180", "box") == "http://box:9180"
    assert instance.admin_url("") == ""
