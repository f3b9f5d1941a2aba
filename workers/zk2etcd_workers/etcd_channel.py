"""The gRPC channels to etcd: plain or TLS, with every retry of grpc's own turned off."""

from __future__ import annotations

import pathlib
import ssl
from typing import Any

import grpc

from zk2etcd import config


def connect(endpoint: str, settings: config.Etcd) -> Any:
    """A channel to `endpoint`, a URL; it connects when first used."""
    scheme, _, address = endpoint.partition("://")
    options = [
        # A retried write may land after a newer one (docs/architecture.md).
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    ]
    if scheme != "https":
        return grpc.insecure_channel(address, options=options)
    tls = settings.tls or config.EtcdTls()
    credentials = grpc.ssl_channel_credentials(
        # grpc would take its own bundled list, and not the host's.
        root_certificates=_content(tls.ca or ssl.get_default_verify_paths().cafile),
        private_key=_content(tls.key),
        certificate_chain=_content(tls.cert),
    )
    return grpc.secure_channel(address, credentials, options=options)


def _content(path: str | None) -> bytes | None:
    return None if path is None else pathlib.Path(path).read_bytes()
