"""Debian's Chromium, headless and cut off from every host but this one."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver

from tests import polling

_BROWSER = shutil.which("chromium")
_DRIVER = shutil.which("chromedriver")
needed = pytest.mark.skipif(
    _BROWSER is None or _DRIVER is None,
    reason="no chromium and chromedriver here: apt-get install chromium chromium-driver",
)
_FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--lang=en-US",
)
_LOGS = {"browser": "ALL", "performance": "ALL"}


class Page:
    """One tab, and what a test asks of it; scripts run in the page itself."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """What a person reads there, "" when there is no such element."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.run(script, selector))

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        return [str(each) for each in self.run(script, selector)]

    def until(self, condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
        return polling.until(condition, timeout, every=0.1, what=what)

    def emulate(self, method: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(method, parameters)

    def scheme(self, name: str) -> None:
        """Have it drawn as for a person who prefers "dark" or "light"; "" for neither."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.emulate("Emulation.setEmulatedMedia", features=features)

    def size(self, width: int, height: int, *, scale: float = 1, mobile: bool = False) -> None:
        self.emulate(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def scripts(self, enabled: bool) -> None:
        self.emulate("Emulation.setScriptExecutionDisabled", value=not enabled)

    def complaints(self) -> list[str]:
        """What the console said since the last call: errors and violated policies too."""
        return [str(entry["message"]) for entry in self._log("browser")]

    def hosts(self) -> set[str]:
        """The hosts, with port, of all requests since the last call."""
        found = set()
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(urllib.parse.urlsplit(message["params"]["request"]["url"]).netloc)
        return found

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def opened(folder: pathlib.Path) -> Iterator[Page]:
    """A browser with its profile in `folder`; it is ended, and its processes with it."""
    assert _DRIVER is not None
    assert _BROWSER is not None
    options = webdriver.ChromeOptions()
    options.binary_location = _BROWSER
    # Inside a container root has no sandbox to start.
    root = ("--no-sandbox",) if os.getuid() == 0 else ()
    for flag in (*_FLAGS, *root, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", _LOGS)
    # The driver's path is given, so nothing is looked for, let alone fetched.
    driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=_DRIVER))
    try:
        yield Page(driver)
    finally:
        driver.quit()
