"""Which deletes would leave a folder empty that is still there: read in etcd and in ZooKeeper.

One small Range a folder, many in a Txn, tells mostly that there is another key. Only where there is
none ZooKeeper is asked whether the folder is still there: without it, this is a delete as any.
Reading decides nothing by itself: who decides knows what is under way (`model/live/last`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers.belonging import looking
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import paging, tree
from zk2etcd_workers.model.live import last
from zk2etcd_workers.safety import guard_record
from zk2etcd_workers.shard import confirm, context, facts as shard_facts

_AT_ONCE = 1_000
_PAGE = 1_000
_CROWDED = 500
_NEIGHBOURS = 1_000
_KEYS = 10_000
"""In the answer of one Txn, at most."""
_NOTHING = last.Going()


class Last(NamedTuple):
    """One that stays. `has_more`: etcd has keys below it, which need not."""

    path: bytes
    has_more: bool


class _Search:
    """One folder, page by page."""

    def __init__(self, folder: last.Folder, pages: paging.Pages, near: bytes | None) -> None:
        self.folder = folder
        self.pages = pages
        self.near = near
        """A key that stayed when it was last looked at: where there are many, it is looked for
        first, since a Range counts all of them."""
        self.limit = 0

    def next(self, going: last.Going) -> wire.Range:
        if self.near is not None:
            self.limit = 1
            return wire.Range(self.near, keys_only=True)
        going_too = going.below(self.folder.path)
        self.limit = min(len(self.folder) + going_too + 2, _PAGE)
        return wire.Range(self.pages.start, self.pages.stop, self.limit, keys_only=True)

    def saw(self, page: wire.Names) -> int:
        """:returns: how many keys there are, as far as that is known."""
        if self.near is not None:
            self.near = None
            return 0
        self.pages.saw(page.keys, page.total, more=page.more)
        return page.total

    @property
    def done(self) -> bool:
        return self.folder.stays is not None or (self.near is None and self.pages.done)


class Keeping:
    """Used by one thread."""

    def __init__(self, ctx: context.Context, *, live: bool = False) -> None:
        """:param live: what is read in ZooKeeper need not wait for walks."""
        self._ctx = ctx
        self._live = live
        self._near: dict[bytes, bytes] = {}

    def of(self, paths: Sequence[bytes], going: last.Going = _NOTHING) -> list[Last]:
        """Those of these paths, of nodes that are gone, whose keys are to stay.

        :param going: what goes already.
        :raises errors.EtcdError: etcd did not answer, `errors.SessionDoubt`: ZooKeeper.
        """
        folders = list(self._folders(paths).values())
        found: list[Last] = []
        for start in range(0, len(folders), _AT_ONCE):
            found += self._some(folders[start : start + _AT_ONCE], going)
        return found

    def _folders(self, paths: Sequence[bytes]) -> dict[bytes, last.Folder]:
        """By their paths, but for those that are gone, too."""
        gone, root = set(paths), self._ctx.root
        folders: dict[bytes, last.Folder] = {}
        for path in paths:
            above = last.folder_of(path)
            if path == root or above in gone:
                continue
            if (folder := folders.get(above)) is None:
                folder = folders[above] = last.Folder(above, self._is_mirrored)
            folder.goes(path)
        return folders

    def _is_mirrored(self, path: bytes) -> bool:
        return not self._ctx.mapping.is_excluded(path)

    def _some(self, folders: Sequence[last.Folder], going: last.Going) -> Iterator[Last]:
        ours = self._ctx.ours
        searches = []
        for folder in folders:
            pages = paging.Pages(*ours.below_path(folder.path), ours.next)
            searches.append(_Search(folder, pages, self._near.pop(folder.path, None)))
        while searches:
            self._look(searches, going)
            searches = [each for each in searches if not each.done]
        alone = [folder for folder in folders if folder.last is not None]
        there = self._there([each for folder in alone for each in (folder.path, *folder.unsure)])
        for folder in alone:
            if folder.path in there and there.isdisjoint(folder.unsure):
                assert folder.last is not None
                yield Last(folder.last, folder.has_more)

    def _look(self, searches: Sequence[_Search], going: last.Going) -> None:
        """One more page of each."""
        learned, at = self._ctx.etcd.learned, 0
        while at < len(searches):
            self._ctx.turn.beat()
            reads, keys = list[wire.Range](), 0
            for search in searches[at : at + learned.reads]:
                reads.append(search.next(going))
                keys += search.limit
                if keys > _KEYS:
                    break
            try:
                answer = self._ctx.etcd.txn(wire.Txn((), reads), write=False)
            except (errors.TooManyOperations, errors.TooLarge) as refusal:
                if not learned.fewer_reads(len(reads)):
                    raise refusal
                continue
            some = searches[at : at + len(reads)]
            for search, page in zip(some, answer.ranges(), strict=True):
                self._saw(search, page, going)
            at += len(reads)

    def _saw(self, search: _Search, page: wire.Names, going: last.Going) -> None:
        folder, crowded = search.folder, search.near is not None or page.total > _CROWDED
        folder.saw(self._ours(page.keys), going)
        search.saw(page)
        if folder.stays is not None and crowded:
            if len(self._near) >= _NEIGHBOURS:
                del self._near[next(iter(self._near))]
            self._near[folder.path] = self._ctx.ours.key(folder.stays)

    def _ours(self, names: Sequence[bytes]) -> Iterable[bytes]:
        """The paths of those of them that are ours, and mirrored."""
        ctx = self._ctx
        paths = [path for path in map(ctx.ours.path, names) if path is not None]
        paths = [path for path in paths if self._is_mirrored(path)]
        if ctx.marks is None:
            return paths
        keys = [ctx.mapping.key(path) for path in paths]
        pairs = looking.lookup(ctx.etcd, ctx.marks.base, keys)
        return [path for path, pair in zip(paths, pairs, strict=True) if pair.is_ours]

    def _there(self, paths: Sequence[bytes]) -> set[bytes]:
        """Those of them that ZooKeeper has; what may not be read is there."""
        asked = list(dict.fromkeys(paths))
        verdicts = confirm.read_again(self._ctx, asked, live=self._live) if asked else ()
        return {each.path for each in verdicts if each.node is not tree.Miss.NO_NODE}


def is_on(ctx: context.Context) -> bool:
    live = ctx.delete_guard.live
    return live is not None and live.keep_last and ctx.config.sync.deletes == "apply"


class OfBase:
    """What of the deletes of a base is to stay: `seen` and `unseen` lose it. A release lets it go,
    and no guard has a say in that: then it is among the `seen`."""

    def __init__(
        self,
        ctx: context.Context,
        facts: shard_facts.Facts,
        guard: guard_record.Guarding,
        seen: list[bytes],
        unseen: list[bytes],
    ) -> None:
        self._ctx, self._facts, self._guard = ctx, facts, guard
        self._seen, self._unseen = seen, unseen
        self._is_let_go = False

    def spare(self, total: int) -> int:
        """:param total: how many are unseen; with more than are known, none goes anyway.
        :returns: how many are left.
        """
        seen, unseen = self._seen, self._unseen
        if not is_on(self._ctx) or total > len(unseen):
            return total
        if self._guard.holds_all:
            self._ctx.kept.replace(())
            tell(self._ctx, self._facts)
            return total
        kept = [each.path for each in Keeping(self._ctx).of([*seen, *unseen])]
        stay = set(kept)
        seen[:] = [path for path in seen if path not in stay]
        unseen[:] = [path for path in unseen if path not in stay]
        if kept and self._is_released(len(kept), len(seen) + len(unseen)):
            seen += kept
            self._is_let_go = self._guard.released = True
        else:
            self._ctx.kept.replace(kept)
            tell(self._ctx, self._facts)
        return len(unseen)

    def _is_released(self, kept: int, others: int) -> bool:
        """A person allowed it: at most as many as they were shown."""
        ctx, held, shown = self._ctx, self._facts.kept, self._ctx.kept.most
        if ctx.released is not None:
            return kept + others <= ctx.released
        if held is None or (release := ctx.grants.use(held)) is None:
            return False
        allowed = kept <= shown
        ctx.log.warning(
            "last keys released" if allowed else "release refused: there are more last keys now",
            kept=held.id,
            by=release.by,
            deletes=kept,
            shown=shown,
        )
        if allowed:
            # Until they have gone: a base that is cut off does not use it up.
            ctx.grants.give(release)
        return allowed

    def end(self) -> None:
        """They have gone."""
        if self._is_let_go:
            self._ctx.grants.use(self._facts.kept)
            self._ctx.kept.replace(())
            tell(self._ctx, self._facts)


def tell(ctx: context.Context, facts: shard_facts.Facts) -> None:
    """Say in the shard's facts what is kept now."""
    facts.kept = ctx.kept.tell(time.time(), uuid.uuid4().hex[:12])
