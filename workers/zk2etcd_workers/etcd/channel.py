"""The gRPC channels to etcd: plain or TLS, with every retry of grpc's own turned off."""

from __future__ import annotations

import ssl
from typing import Any

import grpc

from zk2etcd import errors
from zk2etcd.config import connections, files as small_files

Files = tuple[bytes | None, ...]
_LONGEST_PEM = 16 * 1024 * 1024


def files(endpoint: str, settings: connections.Etcd) -> Files:
    """What a channel to `endpoint` takes from files: (authorities, certificate, key).

    :raises errors.EtcdUnavailable: one cannot be read.
    """
    if not endpoint.startswith("https://"):
        return ()
    tls = settings.tls or connections.EtcdTls()
    # grpc would take its own bundled list of authorities, and not the host's.
    ca = tls.ca or ssl.get_default_verify_paths().cafile
    return tuple(_content(endpoint, path) for path in (ca, tls.cert, tls.key))


def connect(endpoint: str, content: Files) -> Any:
    """A channel to `endpoint`, a URL, with its `files`; it connects when first used."""
    address = endpoint.partition("://")[2]
    options = [
        # A retried write may land after a newer one (docs/architecture.md).
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # A peer that went silent: keepalive_timeout_ms alone does nothing (grpcio 1.85).
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        # Else a new channel is given the connection of the old one, which may be why it is made.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # Also the time that a connection may take to stand, with TLS: to another continent, say.
        ("grpc.min_reconnect_backoff_ms", 3_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    ]
    if not content:
        return grpc.insecure_channel(address, options=options)
    ca, cert, key = content
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca, private_key=key, certificate_chain=cert
    )
    return grpc.secure_channel(address, credentials, options=options)


def _content(endpoint: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = small_files.read(path, _LONGEST_PEM)
        if small_files.is_encrypted(content):  # grpc would say no more than that the key is invalid
            raise ValueError(f"is {small_files.ENCRYPTED}")
    except ValueError as error:
        why = f"{path} of etcd.tls {error}"
        raise errors.EtcdUnavailable(f"etcd {endpoint} cannot be reached: {why}") from error
    return content
