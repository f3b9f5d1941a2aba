"""How the two sides, ZooKeeper and etcd, are reached, and what may be asked of them at once."""

from __future__ import annotations

from typing import Literal

import pydantic
from pydantic import Field

from zk2etcd.config import fields
from zk2etcd.config.fields import DURATION, SIZE


class TlsFiles(fields.Reconnect):
    """PEM files, read again on reload. A change of their content counts as a change of the key."""

    _digest: str = pydantic.PrivateAttr("")

    ca: fields.Text | None = Field(
        None,
        description="File with the authorities to trust. null: the system's.",
        examples=["/etc/zk2etcd/ca.pem"],
    )
    cert: fields.Text | None = Field(
        None,
        description="File with our own certificate, where the server asks for one.",
        examples=["/etc/zk2etcd/client.pem"],
    )
    key: fields.Text | None = Field(
        None,
        description="File with the private key of `cert`.",
        examples=["/etc/zk2etcd/client.key"],
    )

    def with_digest(self, digest: str) -> TlsFiles:
        """A copy that equals another only if the files' content does as well."""
        copy = self.model_copy()
        copy._digest = digest
        return copy


class ZkAuth(fields.Reconnect):
    """One `addauth`: a scheme and its credentials, given here or in a file."""

    scheme: fields.Text = Field(
        description="The scheme, as the ensemble's ACLs name it.",
        examples=["digest"],
    )
    credentials: fields.Secret | None = Field(
        None,
        description="The credentials; for digest `user:password`.",
        examples=["user:${ZK_PASSWORD}"],
    )
    credentials_file: fields.Text | None = Field(
        None,
        description="File that holds the credentials instead; read again on reload.",
    )


class ZkSasl(fields.Reconnect):
    """It needs the extra `zk2etcd[sasl]`."""

    mechanism: Literal["DIGEST-MD5"] = Field(
        "DIGEST-MD5",
        description="The only mechanism there is. ZooKeeper 3.9 and later take it only with"
        " -Dzookeeper.fips-mode=false.",
    )
    username: fields.Text = Field(
        description="The user of the ensemble's JAAS file.",
        examples=["mirror"],
    )
    password: fields.Secret | None = Field(
        None,
        description="The user's password, here or in a file.",
        examples=["${ZK_PASSWORD}"],
    )
    password_file: fields.Text | None = Field(
        None,
        description="File that holds the password instead; read again on reload.",
    )


class ZkTls(TlsFiles):
    """It is spoken on the ensemble's secureClientPort."""

    verify: fields.Flag = Field(
        True,
        description="Check the server's certificate and name. false: anyone may pose as it.",
    )


class ZooKeeper(fields.Reconnect):
    """The source. zk2etcd only ever reads from it."""

    hosts: fields.Hosts = Field(
        ("127.0.0.1:2181",),
        description='The ensemble\'s servers, also as "a:2181,b:2181"; the port may be left out.'
        ' A chroot goes into "from".',
        examples=[["zk-1:2181", "zk-2:2181", "zk-3:2181"]],
    )
    session_timeout: fields.Seconds = Field(
        10.0,
        ge=1,
        le=3600,
        description="Duration without a heartbeat after which the server ends our session. Shorter"
        " notices a dead server sooner, longer rides out pauses. The server has bounds of its own.",
        json_schema_extra=DURATION,
    )
    connect_timeout: fields.Seconds = Field(
        10.0,
        ge=0.1,
        le=600,
        description="Duration that a new session may take before another server is tried; with"
        " several servers, at most each one's share of session_timeout.",
        json_schema_extra=DURATION,
    )
    request_timeout: fields.Seconds = Field(
        10.0,
        ge=0.1,
        le=600,
        description="Duration that one answer may take before the session counts as broken.",
        json_schema_extra=DURATION,
    )
    auth: tuple[ZkAuth, ...] = Field(
        (),
        description="Identities to add to the session, for trees that ACLs protect.",
    )
    sasl: ZkSasl | None = Field(None, description="A login by SASL. null: none.")
    tls: ZkTls | None = Field(
        None,
        description="TLS to the servers; {} uses the system's authorities. null: plain text.",
    )
    protocol: Literal["auto", "bulk", "classic"] = Field(
        "auto",
        description="How to read: bulk (multiRead and recursive watches, ZooKeeper 3.6 and later),"
        " classic (plain reads and one-shot watches, any ZooKeeper, much slower), or auto, which"
        " finds out at each connection what its server takes.",
    )
    read_batch: fields.Count = Field(
        256,
        ge=1,
        le=1000,
        description="Reads in one bulk request at most. The server builds the whole answer in"
        " memory, so more is faster for us and harder for it.",
    )
    max_reads_per_second: fields.Count | None = Field(
        None,
        ge=1,
        description="Nodes read a second at most, for each worker, to spare the ensemble."
        " null: no limit.",
        examples=[20000],
    )


class EtcdTls(TlsFiles):
    """It is spoken to endpoints that begin with https://."""


class Etcd(fields.Reconnect):
    """The target."""

    endpoints: fields.Endpoints = Field(
        ("http://127.0.0.1:2379",),
        description='The cluster\'s client addresses, also as "a:2379,b:2379". No scheme means'
        " http; https checks the server against tls.ca, or the system's authorities.",
        examples=[["https://etcd-1:2379", "https://etcd-2:2379", "https://etcd-3:2379"]],
    )
    cluster_id: fields.ClusterId | None = Field(
        None,
        description="The only cluster that is ever written to, in hexadecimal, as etcd's log has it"
        " (`check` prints it). null: the one that answers first, from then on.",
        examples=["cdf818194e3a8c32"],
    )
    username: fields.Text | None = Field(
        None,
        description="The etcd user. null: no login.",
        examples=["zk2etcd"],
    )
    password: fields.Secret | None = Field(
        None,
        description="The user's password, here or in a file; best as ${ETCD_PASSWORD}.",
        examples=["${ETCD_PASSWORD}"],
    )
    password_file: fields.Text | None = Field(
        None,
        description="File that holds the password instead; read again on reload.",
    )
    tls: EtcdTls | None = Field(
        None,
        description="Authorities and our certificate, for https endpoints. null: the system's"
        " authorities and no certificate.",
    )
    request_timeout: fields.Seconds = Field(
        5.0,
        ge=0.1,
        le=600,
        description="Duration that one answer may take. A write that takes longer is in doubt, and"
        " its shard takes stock again.",
        json_schema_extra=DURATION,
    )
    txn_ops: fields.Count = Field(
        2048,
        ge=1,
        le=4032,
        description="Puts and deletes in one Txn at most. They are nested, as etcd takes 128 a"
        " level; no more than 62 times 64 fit, whatever stands here.",
    )
    txn_bytes: fields.Size = Field(
        512 * 1024,
        ge=1024,
        le=10 * 1024 * 1024,
        description="Size of one Txn at most; a single larger value travels alone. Stay well below"
        " the server's --max-request-bytes (1.5MiB by default).",
        json_schema_extra=SIZE,
    )
    txn_in_flight: fields.Count = Field(
        8,
        ge=1,
        le=128,
        description="Txns under way at once, for each worker. More hides latency, and loads etcd.",
    )
    max_reads_per_second: fields.Count | None = Field(
        None,
        ge=1,
        description="Keys that full syncs, bases and `diff` read a second at most, for each worker,"
        " to spare the cluster. Full syncs rest anyway while its answers take longer than usual."
        " null: no limit.",
        examples=[20000],
    )
    max_writes_per_second: fields.Count | None = Field(
        None,
        ge=1,
        description="Keys written a second at most, for each worker, to spare the cluster, also by"
        " what a full sync, or `sync.drift`, puts right. null: no limit.",
        examples=[20000],
    )
