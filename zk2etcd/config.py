"""The configuration as frozen models, grouped by concern; validated once, at the edge (`loader`).

Durations are seconds (float), sizes are bytes (int). Every field says its unit and its reason.
`reload` in a field's json_schema_extra says what a change needs: live, reconnect or restart.
"""

from __future__ import annotations

from typing import Literal

import pydantic


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=False)


class ZkAuth(Model):
    scheme: str
    credentials: pydantic.SecretStr | None = None
    credentials_file: str | None = None


class ZkSasl(Model):
    mechanism: Literal["DIGEST-MD5"] = "DIGEST-MD5"
    username: str
    password: pydantic.SecretStr | None = None
    password_file: str | None = None


class ZkTls(Model):
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True


class ZooKeeper(Model):
    hosts: tuple[str, ...] = ("127.0.0.1:2181",)
    session_timeout: float = 10.0
    connect_timeout: float = 10.0
    request_timeout: float = 10.0
    auth: tuple[ZkAuth, ...] = ()
    sasl: ZkSasl | None = None
    tls: ZkTls | None = None
    protocol: Literal["auto", "bulk", "classic"] = "auto"
    read_batch: int = 256
    max_reads_per_second: int | None = None


class EtcdTls(Model):
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class Etcd(Model):
    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    username: str | None = None
    password: pydantic.SecretStr | None = None
    password_file: str | None = None
    tls: EtcdTls | None = None
    request_timeout: float = 5.0
    txn_ops: int = 2048
    txn_bytes: int = 512 * 1024
    txn_in_flight: int = 8
    max_writes_per_second: int | None = None


class Prefix(Model):
    from_: str = pydantic.Field(alias="from")
    to: str
    exclude: tuple[str, ...] = ()
    buckets: int = 1


class DeleteGuard(Model):
    min_deletes: int = 100
    max_ratio: float = 0.3
    max_deletes: int = 10000
    first_sync: Literal["hold", "apply"] = "hold"


class Sync(Model):
    prefixes: tuple[Prefix, ...]
    exclude: tuple[str, ...] = ()
    ephemeral: Literal["copy", "skip"] = "copy"
    deletes: Literal["apply", "never"] = "apply"
    full_sync_interval: float = 300.0
    full_sync_concurrency: int = 1
    delete_guard: DeleteGuard = DeleteGuard()


class State(Model):
    prefix: str = "zk2etcd/default"
    lease_ttl: float = 10.0


class RestartBackoff(Model):
    min: float = 1.0
    max: float = 60.0


class Workers(Model):
    count: int | Literal["auto"] = "auto"
    stop_timeout: float = 15.0
    restart_backoff: RestartBackoff = RestartBackoff()
    heartbeat_timeout: float = 10.0


class Http(Model):
    listen: str = "127.0.0.1:9180"
    token: pydantic.SecretStr | None = None
    token_file: str | None = None
    allowed_hosts: tuple[str, ...] | None = None


class LogFile(Model):
    path: str
    max_bytes: int = 100 * 1024 * 1024
    backups: int = 5


class Log(Model):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    file: LogFile | None = None
    events: bool = False


class Reload(Model):
    watch: float | None = None


class Config(Model):
    zookeeper: ZooKeeper = ZooKeeper()
    etcd: Etcd = Etcd()
    sync: Sync
    state: State = State()
    workers: Workers = Workers()
    http: Http = Http()
    log: Log = Log()
    reload: Reload = Reload()
