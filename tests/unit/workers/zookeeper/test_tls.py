"""The files of TLS to ZooKeeper: what is unfit is named, and nobody is asked for a passphrase."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from tests import certificates
from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import tls


def test_a_pipe_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "ca.pem"
    os.mkfifo(pipe)
    with pytest.raises(PermissionError, match="not a regular file") as caught:
        tls._context(connections.ZkTls(ca=str(pipe)))
    assert caught.value.filename == str(pipe)


def test_a_missing_one_is_named(tmp_path: pathlib.Path) -> None:
    missing = str(tmp_path / "no.pem")
    with pytest.raises(FileNotFoundError) as caught:
        tls._context(connections.ZkTls(ca=missing))
    assert caught.value.filename == missing


def test_an_encrypted_key_is_refused(tmp_path: pathlib.Path) -> None:
    issued = certificates.Authority(tmp_path).issue("client")
    locked = f"{issued.key}.locked"
    make = ["openssl", "pkcs8", "-topk8", "-in", issued.key, "-out", locked, "-passout", "pass:x"]
    subprocess.run(make, check=True, capture_output=True, timeout=30)
    assert tls._context(connections.ZkTls(cert=issued.cert, key=issued.key))
    with pytest.raises(PermissionError, match="encrypted private key") as caught:
        tls._context(connections.ZkTls(cert=issued.cert, key=locked))
    assert caught.value.filename == locked
