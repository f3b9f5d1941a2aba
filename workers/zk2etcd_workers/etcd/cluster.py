"""Which etcd cluster is ours: nothing is written to another one, whoever answers at an endpoint.

Every answer's header has the cluster's id, through grpc-proxy too. It is made of the members'
addresses and `--initial-cluster-token` when a cluster is begun or restored, so a member that was
removed and begins anew by itself has another one, and so may a cluster restored from a backup.

So the endpoints are asked after each change of member, and before anything else; and every answer
is looked at, since a connection may come back to another process at the same address. What was
written to that one meanwhile had compares that only our cluster meets (`ownership/fence`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd.logs import logger
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import endpoints as members, failures, login as logins, verdict

_MORE = 1.0
"""Seconds that further endpoints have, at the first contact, once one has answered."""


class Home(NamedTuple):
    """Where a cluster tells that it is ours: the keys of its id and of `format`, neighbours in this
    order; `remembered` is the id that this supervisor's workers met before."""

    cluster: bytes
    format: bytes
    remembered: str = ""


class Cluster:
    """The cluster of one client. Safe to use from several threads."""

    def __init__(
        self,
        settings: connections.Etcd,
        instruments: metrics.Instruments,
        endpoints: members.Endpoints,
        login: logins.Login,
        home: Home | None,
        changed: Callable[[], None],
    ) -> None:
        """:param home: None: any cluster will do, such as for a look at one endpoint alone.
        :param changed: told when ours is a restored copy from now on."""
        self._settings = settings
        self._instruments = instruments
        self._endpoints = endpoints
        self._login = login
        self._home = home
        self._changed = changed
        self._lock = threading.Lock()
        self._vouched: tuple[members.Member, int] | None = None
        self._fixed = settings.cluster_id or ""
        self.id = self._fixed or (home.remembered if home else "")
        """In hexadecimal, as etcd's log has it; empty before the first answer."""
        self._kept = ""
        self._unfit: set[str] = set()

    @property
    def untold(self) -> bool:
        """It does not hold its own id yet, under `Home.cluster`, so that a copy cannot be told."""
        return bool(self.id) and self._kept != self.id

    def told(self) -> None:
        """It does now."""
        self._kept = self.id

    def vouch(self) -> None:
        """Return when the member that is asked next is one of our cluster's.

        :raises errors.OtherCluster: none that answers is.
        :raises errors.EtcdError: none answers.
        """
        if self._home is None or self._is_vouched():
            return
        started = time.monotonic()
        try:
            with turn.holding(self._lock):
                if not self._is_vouched():
                    self._choose()
        except errors.EtcdError as error:
            # What was to be asked is not even sent; it counts as an operation that failed.
            self._instruments.etcd_op("get", type(error).__name__, time.monotonic() - started)
            raise

    def stranger(self, call: members.Call) -> errors.OtherCluster | None:
        """The same, of a call that was answered well."""
        return self.other(call.member, call.future.result(), call.at)

    def other(self, member: members.Member, reply: Any, sent: float) -> errors.OtherCluster | None:
        """That another cluster answered, if it was one; its member is left."""
        found = f"{reply.header.cluster_id:x}"
        if self._home is None or found in ("0", self.id) or not self.id:
            return None
        self._endpoints.failed(member, sent)
        return errors.OtherCluster(
            f"etcd {member.endpoint} is of cluster {found} now, not of {self.id}, which is mirrored"
            " to: nothing was written there"
        )

    def survey(
        self, *, everyone: bool = False
    ) -> tuple[list[verdict.Found], dict[str, errors.EtcdError]]:
        """What each endpoint is a member of, and why others did not say. With an id that is known,
        the first that has it is enough.

        :param everyone: wait for all of them, whatever the others say.
        """
        (calls, silent), found = self._asked(), {}
        deadline = time.monotonic() + self._settings.request_timeout + 1.0
        while calls and time.monotonic() < deadline:
            for call in [each for each in calls if each.future.done()]:
                calls.remove(call)
                failure = self._endpoints.meaning(call)
                if failure is not None:
                    silent[call.member.endpoint] = failure
                    continue
                found[call.member.endpoint] = self._found(call)
                if not everyone:
                    deadline = min(deadline, time.monotonic() + _MORE)
            if not everyone and any(each.cluster == self.id for each in found.values()):
                break
            turn.touch()
            time.sleep(0.002)
        for call in calls:
            call.future.cancel()
            silent[call.member.endpoint] = failures.lost(
                call.member.endpoint, "no answer", write=False
            )
        return list(found.values()), silent

    def _is_vouched(self) -> bool:
        return self._vouched == (self._endpoints.current, self._endpoints.moves)

    def _choose(self) -> None:
        moves = self._endpoints.moves
        found, silent = self.survey()
        if not found:
            found, silent = self._logged_in(silent)
        if not found:
            self._nobody(silent)
            return
        self._tell_unfit(silent)
        unfit = sum(isinstance(why, errors.UnfitMember) for why in silent.values())
        total = len(self._settings.endpoints) - unfit  # no members of anything
        try:
            ours = verdict.ours(found, total, self.id, fixed=bool(self._fixed))
        except errors.OtherCluster:
            self._endpoints.avoid([each.endpoint for each in found])
            raise
        if self.id and ours != self.id:
            logger.get().warning(
                "etcd is another cluster now, restored from ours: going on with it",
                cluster_id=ours,
                was=self.id,
            )
            self._changed()
        elif not self.id:
            logger.get().info("etcd's cluster", cluster_id=ours)
        self.id = ours
        chosen = next(each for each in found if each.cluster == ours)
        self._kept = chosen.kept
        self._vouched = self._endpoints.choose(chosen.endpoint), moves

    def _logged_in(
        self, silent: dict[str, errors.EtcdError]
    ) -> tuple[list[verdict.Found], dict[str, errors.EtcdError]]:
        """The token was too old, perhaps: refused unseen."""
        expired = [at for at, why in silent.items() if isinstance(why, failures.TokenExpired)]
        if not expired or not self._login.configured:
            return [], silent
        self._endpoints.choose(expired[0])
        self._login.rejected(self._login.token)
        self._login.now()
        return self.survey()

    def _tell_unfit(self, silent: dict[str, errors.EtcdError]) -> None:
        """Once each: nobody meets them any more, as long as another one answers."""
        for at, why in silent.items():
            if isinstance(why, errors.UnfitMember) and at not in self._unfit:
                self._unfit.add(at)
                logger.get().warning("an endpoint of etcd is left out", error=str(why))

    def _nobody(self, silent: dict[str, errors.EtcdError]) -> None:
        """Where we may not read our own keys, that is said of each request by itself."""
        member = self._endpoints.current
        failure = silent[member.endpoint]
        if isinstance(failure, errors.EtcdDenied):
            return
        self._endpoints.failed(member)
        raise failure

    def _asked(self) -> tuple[list[members.Call], dict[str, errors.EtcdError]]:
        """What was sent, and to whom nothing could be: his certificate's file, or we are ending."""
        assert self._home is not None
        request = rpc.RangeRequest(key=self._home.cluster, range_end=self._home.format + b"\0")
        seconds, token = self._settings.request_timeout, self._login.token
        calls, unsent = [], dict[str, errors.EtcdError]()
        for member in self._endpoints.all():
            try:
                calls.append(self._endpoints.ask(member, "KV/Range", request, seconds, token))
            except errors.EtcdUnavailable as error:
                unsent[member.endpoint] = error
        return calls, unsent

    def _found(self, call: members.Call) -> verdict.Found:
        assert self._home is not None
        reply = call.future.result()
        values = {bytes(kv.key): bytes(kv.value) for kv in reply.kvs}
        return verdict.Found(
            call.member.endpoint,
            f"{reply.header.cluster_id:x}",
            self._home.format in values,
            verdict.kept(values.get(self._home.cluster, b"")),
        )
