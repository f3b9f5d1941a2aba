"""`python -m tests.browser.screenshots [SECONDS]`: the pictures of the page in docs/images.

They are of what the tests look at: real servers, a real supervisor, and changes at a rate that goes
up and down for as long as the charts shall show.
"""

from __future__ import annotations

import base64
import itertools
import pathlib
import sys
import tempfile
import time

from tests import polling
from tests.acceptance import both_sides
from tests.browser import chromium, stage
from zk2etcd.sandbox import servers

IMAGES = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "images"
MOST_BYTES = 150_000
_SECONDS = 285.0
_STEP = 6.0
# Changes a second, each for a step: a day in small.
_RATES = (20, 35, 60, 90, 120, 150, 140, 160, 130, 90, 300, 110, 70, 45, 30, 25)
_DESK = (1240, 940)
_PHONE = (390, 844)


def main(seconds: float = _SECONDS) -> None:
    with (
        tempfile.TemporaryDirectory() as profile,
        servers.opened() as box,
        chromium.opened(pathlib.Path(profile)) as page,
    ):
        zookeeper, etcd = box.zookeeper(durable=False), box.etcd(durable=False)
        zookeeper.start()
        etcd.start()
        scene = stage.Stage(box, zookeeper, etcd)
        scene.start()
        _change(scene, seconds)
        page.open(scene.supervisor.url)
        page.until(lambda: page.text("h1") == "All is well", "a calm page")
        _take(page, "page-light", _DESK, "light")
        _take(page, "page-dark", _DESK, "dark")
        _take(page, "page-phone", _PHONE, "light", scale=2)
        scene.hide("private")
        scene.add_guarded()
        page.until(lambda: page.text(".card.guard"), "the guard's card")
        _take(page, "page-guarded", (_DESK[0], 790), "light")
        scene.close()


def _change(scene: stage.Stage, seconds: float) -> None:
    """Change things for so long, in two prefixes by turns."""
    end = time.monotonic() + seconds
    roots = itertools.cycle((scene.dubbo, scene.dubbo, scene.services))
    for rate, root in zip(itertools.cycle(_RATES), roots, strict=False):
        if time.monotonic() > end:
            return
        until = time.monotonic() + _STEP
        with both_sides.Load(scene.zookeeper.address, f"{root}/load", rate):
            polling.until(lambda until=until: time.monotonic() > until, _STEP * 2, every=0.2)  # type: ignore[misc]


def _take(
    page: chromium.Page, name: str, size: tuple[int, int], scheme: str, scale: float = 1
) -> None:
    page.scheme(scheme)
    page.size(*size, scale=scale, mobile=scale > 1)
    page.driver.refresh()
    page.until(lambda: page.text("#pulse").startswith("live"), "a page that is live")
    image = base64.b64decode(page.emulate("Page.captureScreenshot", format="png")["data"])
    assert len(image) < MOST_BYTES, f"{name} has {len(image)} bytes"
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / f"{name}.png").write_bytes(image)
    sys.stdout.write(f"docs/images/{name}.png: {len(image):,} bytes\n")


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:2]))
