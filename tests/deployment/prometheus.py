"""A real Prometheus and promtool, Debian's; tests that need them skip where they are not there."""

from __future__ import annotations

import http.client
import json
import pathlib
import shutil
import subprocess
import urllib.parse
from typing import Any

import pytest
import yaml

from zk2etcd.sandbox import server_process

absent = shutil.which("prometheus") is None or shutil.which("promtool") is None
needed = pytest.mark.skipif(
    absent, reason="no prometheus and promtool here: apt-get install prometheus"
)


def promtool(*arguments: str, stdin: str = "") -> str:
    """What promtool says; AssertionError with it when it is not content."""
    run = subprocess.run(
        ["promtool", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    return said


class Prometheus(server_process.Server):
    """Scrapes these targets as the job "zk2etcd" every second, and evaluates the rules."""

    name = "Prometheus"

    def __init__(self, folder: pathlib.Path, targets: list[str], rules: pathlib.Path) -> None:
        super().__init__(folder)
        self._config = folder / "prometheus.yaml"
        job = {"job_name": "zk2etcd", "static_configs": [{"targets": targets}]}
        content = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [job],
        }
        self._config.write_text(yaml.safe_dump(content), "utf-8")

    def command(self) -> list[str]:
        return [
            *(
                "prometheus",
                f"--config.file={self._config}",
                f"--web.listen-address={self.address}",
            ),
            *(f"--storage.tsdb.path={self.data}", "--storage.tsdb.retention.time=1h"),
        ]

    def ready(self) -> bool:
        return self._ask("/-/ready")[0] == 200

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query; AssertionError with the reason if it is refused."""
        answer = self._api("query?" + urllib.parse.urlencode({"query": expression}))
        result = answer["result"]
        # A scalar or a string is [time, value], not a list of series.
        return result if answer["resultType"] in ("vector", "matrix") else [{"value": result}]

    def rules(self) -> list[dict[str, Any]]:
        """The rules as evaluated: name, health, lastError, state."""
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def _api(self, path: str) -> dict[str, Any]:
        _, text = self._ask(f"/api/v1/{path}")
        answer = json.loads(text)
        assert answer["status"] == "success", f"{path}: {answer}"
        found: dict[str, Any] = answer["data"]
        return found

    def _ask(self, path: str) -> tuple[int, str]:
        """(status, text); status 0 while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()
