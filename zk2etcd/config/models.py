"""The configuration as frozen models, grouped by concern; validated once, at the edge (`loader`).

Durations are seconds (float), sizes are bytes (int). Every field says its unit and its reason.
What a change of a key needs (live, reconnect, restart) is said by its model, or by itself.
Workers import these models to unpickle a configuration, so they import no parser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pydantic
from pydantic import Field

from zk2etcd.config import connections, fields, mirroring, model_walk, sharing
from zk2etcd.config.fields import DURATION, RESTART, SIZE

MOST_WORKERS = 8
"""As many as `workers.count: auto` makes."""


class State(fields.Model):
    """Our own keys in etcd: owners, checkpoints, guards."""

    prefix: fields.StatePrefix = Field(
        "zk2etcd/default",
        description="Where they are, without a leading slash, so outside every `to`. Mirrors that"
        " stand in for each other share it; unrelated ones must not.",
    )
    lease_ttl: fields.LeaseSeconds = Field(
        10.0,
        ge=2,
        le=3600,
        description="Duration, in whole seconds, for which the shards of a dead supervisor stay"
        " taken. At two thirds of it without an answer from etcd a shard stops writing.",
        json_schema_extra=DURATION,
    )


class RestartBackoff(fields.Live):
    """Delays before a crashed worker is started again, doubled from `min` to `max`."""

    min: fields.Seconds = Field(
        1.0,
        ge=0.01,
        le=3600,
        description="Duration of the first delay. Three restarts a minute come at once before it.",
        json_schema_extra=DURATION,
    )
    max: fields.Seconds = Field(
        60.0,
        ge=0.01,
        le=86400,
        description="Duration of the longest delay.",
        json_schema_extra=DURATION,
    )


class Workers(fields.Live):
    """The processes that mirror; each holds one ZooKeeper session and one etcd client."""

    count: fields.WorkerCount = Field(
        "auto",
        description="Number of worker slots. auto: the usable CPUs, by affinity and cgroup, at most"
        " 8. Slots without a shard start no process.",
    )
    stop_timeout: fields.Seconds = Field(
        15.0,
        ge=0.1,
        le=600,
        description="Duration that a worker may take to let go of its shards before it is killed;"
        " keep it below the pod's termination grace period.",
        json_schema_extra=DURATION,
    )
    restart_backoff: RestartBackoff = Field(
        RestartBackoff(),
        description="How fast a worker that keeps crashing is started again.",
    )

    def number(self, usable: Callable[[], int]) -> int:
        """How many slots that is; `usable` CPUs are asked for by "auto" only."""
        return min(MOST_WORKERS, usable()) if self.count == "auto" else self.count

    heartbeat_timeout: fields.Seconds = Field(
        10.0,
        ge=1,
        le=600,
        description="Duration for which a worker's loop may stand still before the worker is"
        " killed and started again.",
        json_schema_extra=DURATION,
    )


class Http(fields.Live):
    """Metrics, health, status and the requests of the command line."""

    listen: fields.Listen = Field(
        "127.0.0.1:9180",
        description="Address to listen on, host:port; 0.0.0.0:9180 in a pod. Port 0: a free one.",
        json_schema_extra=RESTART,
    )
    token: fields.Token | None = Field(
        None,
        description="What every POST must carry as `Authorization: Bearer`. null: POST works only"
        " while `listen` is loopback.",
        examples=["${ZK2ETCD_TOKEN}"],
    )
    token_file: fields.Text | None = Field(
        None,
        description="File that holds the token instead; read again on reload.",
    )
    advertise: fields.Advertised | None = Field(
        None,
        description="Where other supervisors, and people, reach this one; a port that is not said"
        " is `listen`'s. null: `listen`, with this host's name where that is every address.",
        examples=["${POD_IP}"],
        json_schema_extra=RESTART,
    )
    allowed_hosts: tuple[fields.Text, ...] | None = Field(
        None,
        description="Names accepted in the Host header besides loopback, `listen` and `advertise`;"
        " others are refused, against DNS rebinding.",
        examples=[["zk2etcd.infra.svc"]],
    )


class LogFile(fields.Live):
    """A log file that rotates by itself."""

    path: fields.Text = Field(
        description="The file, a regular one: JSON lines of all processes, mode 0640. A lock file"
        " stands beside it.",
        examples=["/var/log/zk2etcd.log"],
    )
    max_bytes: fields.Size = Field(
        100 * 1024 * 1024,
        ge=4096,
        description="Size at which a new file is begun; the old one becomes FILE.1, and so on.",
        json_schema_extra=SIZE,
    )
    backups: fields.Count = Field(
        5,
        ge=0,
        le=1000,
        description="Number of old files kept; 0 keeps none.",
    )


class Log(fields.Live):
    """Logs go to stderr, one line an event."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="json, console, or auto: console on a terminal, else json.",
    )
    file: LogFile | None = Field(
        None,
        description="A file besides stderr. If it cannot be opened, `run` does not start, and a"
        " reload is refused.",
    )
    events: fields.Flag = Field(
        False,
        description="One line for each change mirrored, with its trace id and without its value,"
        " whatever the level.",
    )


class Reload(fields.Live):
    """SIGHUP reads these files again; so can time."""

    watch: fields.Seconds | None = Field(
        None,
        ge=0.1,
        le=86400,
        description="Duration between looks at the files' content, which is reloaded when it"
        " changed, as a ConfigMap does. null: only SIGHUP and `zk2etcd reload`.",
        json_schema_extra=DURATION,
        examples=["10s"],
    )


class Config(fields.Model):
    """All settings of one supervisor."""

    zookeeper: connections.ZooKeeper = connections.ZooKeeper()
    etcd: connections.Etcd = connections.Etcd()
    sync: mirroring.Sync
    state: State = State()
    cluster: sharing.Cluster = sharing.Cluster()
    workers: Workers = Workers()
    http: Http = Http()
    log: Log = Log()
    reload: Reload = Reload()


def revealed(secret: pydantic.SecretStr | None) -> str:
    """A secret in clear, to hand to a client library and nowhere else; "" for None.

    The loader has already put the content of a `*_file` into the field itself.
    """
    return "" if secret is None else secret.get_secret_value()


def redacted(config: Config) -> dict[str, Any]:
    """The configuration as plain data that may be shown: no secret, units as text."""
    return model_walk.plain(config)


def diff(old: Config, new: Config) -> tuple[model_walk.Change, ...]:
    """What a reload changes: dotted keys, each with what it needs (live, reconnect, restart).

    Lists are compared as a whole. A secret or TLS file whose content changed counts.
    """
    return tuple(model_walk.changes(old, new))
