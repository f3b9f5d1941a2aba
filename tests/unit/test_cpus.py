from __future__ import annotations

import pathlib

from zk2etcd import cpus


def written(root: pathlib.Path, **files: str) -> pathlib.Path:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_the_smaller_of_affinity_and_quota_counts_and_a_part_is_one() -> None:
    assert cpus.usable(affinity=8, quota=1.5) == 2
    assert cpus.usable(affinity=2, quota=16.0) == 2
    assert cpus.usable(affinity=4, quota=0.1) == 1


def test_cgroup_v2_takes_the_tightest_quota_up_to_the_root(tmp_path: pathlib.Path) -> None:
    root = written(tmp_path, cpu_max="max 100000", pod__cpu_max="150000 100000")
    written(tmp_path, pod__box__cpu_max="800000 100000", membership="0::/pod/box\n")
    assert cpus.cgroup_quota(root, tmp_path / "membership") == 1.5


def test_cgroup_v2_without_a_limit_has_no_quota(tmp_path: pathlib.Path) -> None:
    root = written(tmp_path, cpu_max="max 100000", membership="0::/\n")
    assert cpus.cgroup_quota(root, tmp_path / "membership") is None


def test_cgroup_v1_reads_quota_and_period(tmp_path: pathlib.Path) -> None:
    written(tmp_path, membership="4:cpu,cpuacct:/box\n1:name=systemd:/other\n")
    written(tmp_path, cpu__box__cpu_cfs_quota_us="300000", cpu__box__cpu_cfs_period_us="100000")
    written(tmp_path, cpu__cpu_cfs_quota_us="-1", cpu__cpu_cfs_period_us="100000")
    assert cpus.cgroup_quota(tmp_path, tmp_path / "membership") == 3.0


def test_nothing_to_read_is_no_quota(tmp_path: pathlib.Path) -> None:
    assert cpus.cgroup_quota(tmp_path / "none", tmp_path / "neither") is None
    assert cpus.usable() >= 1
