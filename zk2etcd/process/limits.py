"""How many descriptors this process, and each that it starts, may open."""

from __future__ import annotations

import contextlib
import resource


def raise_descriptors() -> None:
    """As many as the system would give for the asking: the soft limit, which shells set to 1,024
    for the sake of programs that use select(2), becomes the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # more than the kernel itself allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors() -> int:
    """How many this process may open; a large number where there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft
