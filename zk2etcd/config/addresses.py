"""Host and port, paths, and endpoints: their normal forms. Pure; no message repeats the text it
refuses, since a secret may have ended up in the wrong place."""

from __future__ import annotations

import contextlib
import ipaddress
import re

from zk2etcd import patterns

ZOOKEEPER_PORT = 2181
ETCD_PORT = 2379

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,253}")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?")
_PLAIN = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
# What every release refuses (PathUtils.validatePath, see `model.mapping` in the data plane): 3.4
# takes U+001F, U+007F, U+009F, U+F8FF, U+FFF0 and U+FFFF, which later ones refuse.
_REFUSED = re.compile("[\u0000-\u001e\u0080-\u009e\ud800-\uf8fe\ufff1-\ufffe\U00010000-\U0010ffff]")
_MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_NO_PORT = 0
_LOOPBACK_NAMES = ("localhost", "localhost.")


def host_port(text: str, default: int | None, *, lowest: int = 1) -> str:
    """`host:port` or `[v6]:port`, with the port filled in from `default`.

    :raises ValueError: it says what is wrong and what to write instead.
    """
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError('has several colons; write IPv6 addresses in brackets: "[::1]:2181"')
    match = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError('must be host:port, such as "10.0.0.1:2181" or "[::1]:2181"')
    host, port = match.group(1), match.group(2) or default
    if text.startswith("["):
        host = f"[{_ipv6(host)}]"
    elif not _NAME.fullmatch(host) or ".." in host:
        raise ValueError("holds characters that no host name has; write host:port")
    if port is None:
        raise ValueError('has no port; write host:port, such as "127.0.0.1:9180"')
    if not lowest <= int(port) <= 65535:
        raise ValueError(f"has a port outside {lowest} to 65535")
    return f"{host}:{int(port)}"


def zookeeper_host(text: str) -> str:
    """One server of `zookeeper.hosts`, as `host:port`.

    :raises ValueError: also for a chroot, which would shift every path of the configuration.
    """
    if "/" in text:
        raise ValueError(
            'has a chroot or a scheme; write only host:port and put a chroot in "from"'
        )
    return host_port(text, ZOOKEEPER_PORT)


def endpoint(text: str) -> str:
    """One of `etcd.endpoints`, as `scheme://host:port`; no scheme means http.

    :raises ValueError: also for credentials in it, a path, or another scheme.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme.lower() not in ("http", "https"):
        raise ValueError("has an unknown scheme; write http:// or https://")
    if "@" in rest:
        raise ValueError("holds credentials; put them in etcd.username and etcd.password")
    rest = rest.removesuffix("/")
    if "/" in rest:
        raise ValueError("has a path; write only scheme://host:port, and the path in `to`")
    return f"{scheme.lower()}://{host_port(rest, ETCD_PORT)}"


def listen(text: str) -> str:
    """`http.listen` as `host:port`; port 0 takes a free one.

    :raises ValueError: it says what to write instead.
    """
    if text.startswith(":"):
        raise ValueError("has no host; write 0.0.0.0:PORT to listen on every address")
    return host_port(text, None, lowest=0)


def advertised(text: str) -> str:
    """`http.advertise` as `scheme://host` or `scheme://host:port`; no scheme means http.

    :raises ValueError: it says what to write instead.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme.lower() not in ("http", "https"):
        raise ValueError("has an unknown scheme; write http:// or https://")
    if "@" in rest or "/" in rest.removesuffix("/"):
        raise ValueError("has more than a host and a port; write only host:port")
    rest = rest.removesuffix("/")
    with contextlib.suppress(ValueError):
        # As Kubernetes gives a pod's address: without brackets.
        return f"{scheme.lower()}://[{ipaddress.IPv6Address(rest)}]"
    whole = host_port(rest, _NO_PORT, lowest=0)
    return f"{scheme.lower()}://{whole.removesuffix(f':{_NO_PORT}')}"


def member_name(text: str) -> str:
    """`cluster.name`.

    :raises ValueError: it is none.
    """
    if not _MEMBER.fullmatch(text):
        raise ValueError(
            "must be letters, digits, dots, dashes and underscores, at most 63 of them"
        )
    return text


def is_loopback(address: str) -> bool:
    """True if a `host:port` in normal form can be reached from this host only."""
    host = address.rpartition(":")[0].strip("[]")
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def path(text: str) -> str:
    """A ZooKeeper path, by the rules of any release's PathUtils.validatePath.

    :raises ValueError: it says which rule is broken.
    """
    if not text.startswith("/"):
        raise ValueError('must begin with "/"')
    if text == "/":
        return text
    if text.endswith("/"):
        raise ValueError('ends with "/"; leave it out, the node and all below it are meant anyway')
    if _REFUSED.search(text):
        raise ValueError("holds a character that ZooKeeper refuses (control, private use, emoji)")
    elements = text[1:].split("/")
    if "" in elements:
        raise ValueError('holds "//"; write one "/" between elements')
    if "." in elements or ".." in elements:
        raise ValueError('holds "." or ".." as an element, which ZooKeeper refuses')
    return text


def pattern(text: str) -> str:
    """A ZooKeeper path that may hold wildcards: see `patterns`.

    :raises ValueError: it says which rule is broken.
    """
    return patterns.check(path(text))


def state_prefix(text: str) -> str:
    """The prefix of our own keys in etcd: no leading slash, so outside every `to`.

    :raises ValueError: it says which rule is broken.
    """
    if text.startswith("/"):
        raise ValueError('begins with "/"; leave it out, so that no `to` can hold these keys')
    if not text:
        raise ValueError("is empty; write a prefix such as zk2etcd/default")
    path("/" + text)
    return text


def is_below(inner: str, outer: str) -> bool:
    """True if `inner` is the path `outer` or below it, by path element."""
    return outer in ("/", inner) or inner.startswith(outer + "/")


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError('holds brackets around what is no IPv6 address; write "[::1]"') from None


_HEXADECIMAL = re.compile("(0x)?[0-9a-fA-F]{1,16}")
_DECIMAL = re.compile("[0-9]{17,20}")


def cluster_id(text: str) -> str:
    """An etcd cluster's id as etcd's log prints it. etcdctl prints it in decimal.

    :raises ValueError: it is none, and what to write instead.
    """
    if _HEXADECIMAL.fullmatch(text) and (number := int(text, 16)):
        return f"{number:x}"
    if _DECIMAL.fullmatch(text):
        raise ValueError(f"is decimal, as etcdctl prints it; in hexadecimal it is {int(text):x}")
    raise ValueError(
        "is no cluster id in hexadecimal, such as cdf818194e3a8c32: see `zk2etcd check`, "
        "cluster-id in etcd's log, or `etcdctl member list -w json --hex`"
    )
