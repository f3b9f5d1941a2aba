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


def test_what_is_advertised_takes_the_port_that_is_listened_on_unless_it_names_one() -> None:
    assert instance.admin_url("0.0.0.0:9180", "box", "http://10.0.0.7") == "http://10.0.0.7:9180"
    assert instance.admin_url("[::]:9180", "box", "http://[fd00::7]") == "http://[fd00::7]:9180"
    assert instance.admin_url("127.0.0.1:9180", "box", "https://lb:443") == "https://lb:443"
    assert instance.admin_url("", "box", "http://10.0.0.7") == ""
