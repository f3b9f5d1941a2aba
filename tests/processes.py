"""Commands that are run to their end, with what they said as text and nothing to read from."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Mapping, Sequence


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cwd: pathlib.Path | str | None = None,
) -> subprocess.CompletedProcess[str]:
    """:raises subprocess.TimeoutExpired: it had not ended after `timeout` seconds."""
    return subprocess.run(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
