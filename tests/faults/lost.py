"""What an ensemble lost of itself: a quorum had logged it, and no server has it any more.

The judge goes by what a quorum logged. ZooKeeper itself does not always keep that where servers are
killed and frozen while they join a new leader (ZOOKEEPER-4643, -4646: 3.8.0 has both): one that has
noted the new epoch, and not yet what came before it, may lead the next, and the others give up what
they had agreed to. Where all servers answer the same, and etcd has just that, the mirror did what
it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import kazoo.exceptions

from tests.faults import load, oracle
from tests.integration import observing


def but_the_lost(
    case: oracle.Case,
    found: Iterable[oracle.Violation],
    addresses: Sequence[str],
    note: Callable[[str], None],
) -> Iterator[oracle.Violation]:
    """Those violations that are not of what the ensemble lost, of which there is a note each.

    :param addresses: of all of its servers; a single one loses nothing.
    """
    held = {key.decode("utf-8", "backslashreplace"): key for key in case.wanted()}
    for each in found:
        key = held.get(each.key)
        if each.check == "equal" and key is not None and len(addresses) > 1:
            path = next(path for path in case.history if _is_of(case, path, key))
            answers = [_answer(address, path) for address in addresses]
            if all(answer == oracle.last_values(case.events).get(key) for answer in answers):
                note(f"ZooKeeper lost a change of {path} that a quorum had logged")
                continue
        yield each


def _is_of(case: oracle.Case, path: str, key: bytes) -> bool:
    return any(prefix.key(path) == key for prefix in case.prefixes)


def _answer(address: str, path: str) -> bytes | None:
    """What one server says, having caught up with its leader."""
    client = observing.connected(address)
    try:
        client.sync(path)
        return bytes(client.get(path)[0])
    except kazoo.exceptions.NoNodeError:
        return None
    finally:
        load.close(client)
