"""Prometheus' text format, read without the library that wrote it."""

from __future__ import annotations

_CUMULATIVE = ("_total", "_count", "_bucket", "_sum")


def parse(text: str) -> dict[str, float]:
    """Each sample with its labels as written -> its value; a sample that comes twice is a fault."""
    samples: dict[str, float] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        assert name not in samples, f"{name} comes twice"
        samples[name] = float(value)
    return samples


def base(sample: str) -> str:
    """The name without the labels."""
    return sample.partition("{")[0]


def is_cumulative(sample: str) -> bool:
    """Whether it may only grow: a counter, or a part of a histogram. The CPU of a worker's process
    begins again with the process."""
    name = base(sample)
    return name.endswith(_CUMULATIVE) and name != "zk2etcd_worker_cpu_seconds_total"


def help_and_types(text: str) -> dict[str, str]:
    """The type of each metric family; each must have a line of help as well."""
    types = [line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE ")]
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")}
    assert {name for name, _ in types} == helped
    assert len(types) == len(helped), "a family comes twice"
    return {family[0]: family[1] for family in types}
