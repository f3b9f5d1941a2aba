"""The page for people in a real browser, on a real supervisor, from a calm start to its end.

The tests go on with what the ones before them left: that is how a person meets the page.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator

import pytest

from tests import polling
from tests.browser import chromium, looks, prefixed, stage
from zk2etcd.sandbox import servers

pytestmark = chromium.needed

_PHONE = (390, 844)
_DESK = (1280, 900)


@pytest.fixture(scope="module")
def scene(zookeeper: servers.ZooKeeper, etcd: servers.Etcd) -> Iterator[stage.Stage]:
    with servers.opened() as box:
        made = stage.Stage(box, zookeeper, etcd, "/page")
        made.start()
        yield made
        made.close()


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, scene: stage.Stage
) -> Iterator[chromium.Page]:
    with chromium.opened(tmp_path_factory.mktemp("chromium")) as page:
        page.size(*_DESK)
        page.open(scene.supervisor.url)
        page.hosts()  # the browser's own page before ours
        page.open(scene.supervisor.url)
        yield page


@pytest.fixture
def page(browser: chromium.Page, scene: stage.Stage) -> Iterator[chromium.Page]:
    """The open page. Whatever a test did, nothing may have asked another host, and the console
    must have stayed empty: no error, no violation of the policy."""
    browser.until(lambda: browser.text("#pulse").startswith("live"), "a page that is live")
    yield browser
    assert browser.complaints() == []
    assert browser.hosts() <= {scene.supervisor.address}


def _row(page: chromium.Page, scene: stage.Stage, source: str) -> str:
    return page.text(f"#shard-{scene.supervisor.shard_id(source)}")


def _lines(page: chromium.Page) -> list[str]:
    """The path of each line drawn in a chart."""
    script = "return [...document.querySelectorAll('.line')].map((e) => e.getAttribute('d'))"
    return [str(each) for each in page.run(script)]


def test_all_is_well_at_a_glance_and_the_figures_are_those_of_status(
    page: chromium.Page, scene: stage.Stage
) -> None:
    page.until(lambda: page.text("h1") == "All is well", "the large line")
    found = scene.supervisor.status()
    assert page.texts("h2") == [
        "Recent minutes",
        "Shards",
        "Full syncs, and what they wrote",
        "Workers",
        "Configuration in force",
    ]
    assert "2 shards: 2 following" in page.text(".headline")
    for shard in found["shards"]:
        row = page.text(f"#shard-{shard['id']}")
        assert re.search(rf"\b{shard['keys']}\b", row), row
        assert "following" in row
        assert shard["from"] in row
        assert shard["worker"] in row
    for worker in found["workers"]:
        row = page.text(f"[data-key=worker-{worker['slot']}]")
        assert re.search(rf"{worker['slot']}\s.*running.*\s{worker['pid']}\s", row, re.DOTALL), row
    wrote = page.texts("[data-key^=sync-]")
    for shard in found["shards"]:
        put = shard["last_full_sync"]["put"]
        assert any(shard["from"] in row and f"\t{put}\t0" in row for row in wrote), wrote
    assert found["config"]["sha256"][:12] in page.text("#config ~ dl")
    assert page.text("#config ~ dl").startswith("From\nconfig.yaml")
    assert found["version"] in page.text("footer")


def test_the_configuration_in_force_can_be_opened(page: chromium.Page, scene: stage.Stage) -> None:
    assert page.run("return document.querySelector('.settings').open") is False
    page.run("document.querySelector('.settings summary').click()")
    shown = page.text(".settings pre")
    assert f"- from: {scene.dubbo}" in shown
    assert "full_sync_interval: 1m" in shown


def test_a_change_is_shown_in_place(page: chromium.Page, scene: stage.Stage) -> None:
    """Keys, charts and figures move; what the person did stays."""
    page.until(lambda: len(_lines(page)) == 6, "two charts and two for each shard")
    page.run(
        """
        window.marker = "same document";
        document.querySelector(".settings").open = true;
        window.scrollTo(0, 240);
        document.querySelector("footer a").focus({ preventScroll: true });
        document.getSelection().selectAllChildren(document.querySelector("#workers"));
        """
    )
    before, keys = _lines(page), scene.supervisor.shards()[scene.services]["keys"]
    for number in range(40):
        scene.sides.zk.create(f"{scene.services}/new{number}", b"1")
    page.until(
        lambda: re.search(rf"\b{keys + 40}\b", _row(page, scene, scene.services)), "the new keys"
    )
    page.until(lambda: _lines(page) != before, "charts that moved")

    values = itertools.count()

    def rate() -> object:
        """It is that of the last four seconds: what changed before is over. The same value again
        would be no change."""
        for number in range(5):
            scene.sides.zk.set(f"{scene.services}/new{number}", b"%d" % next(values))
        return re.search(r"\b[1-9][\d.]*/s", _row(page, scene, scene.services))

    page.until(rate, "the shard's rate")
    kept = """
        return [window.marker, document.querySelector(".settings").open, Math.round(scrollY),
                document.activeElement.textContent, document.getSelection().toString()];
        """
    assert page.run(kept) == ["same document", True, 240, "status", "Workers"]
    page.run("document.getSelection().removeAllRanges(); window.scrollTo(0, 0)")


def test_charts_say_in_words_what_they_show(page: chromium.Page, scene: stage.Stage) -> None:
    script = "return [...document.querySelectorAll('svg')].map((e) => [e.role, e.ariaLabel])"
    said = page.run(script)
    assert all(role == "img" and "over the last" in words for role, words in said)
    assert any(f"Lag of {scene.dubbo} over" in words and "highest" in words for _, words in said)
    readout = ".readout[data-for=lag]"
    assert re.fullmatch(r"[\d.]+ m?s", page.text(readout))
    page.run(
        """
        const host = document.querySelector("[data-chart=lag].large");
        host.focus();
        host.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
        """
    )
    assert re.fullmatch(r"\d\d:\d\d:\d\d · [\d.]+ m?s", page.text(readout))
    page.run("document.activeElement.blur()")


def test_a_hidden_tab_asks_nothing(page: chromium.Page) -> None:
    hide = """
        Object.defineProperty(document, "hidden", { value: arguments[0], configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
        """
    asked = "return performance.getEntriesByType('resource').length"
    before = page.text("#pulse")
    page.until(lambda: page.text("#pulse") != before, "a request that just ended")
    page.run(hide, True)
    assert "paused" in page.text("#pulse")
    hidden_at, count = time.monotonic(), page.run(asked)
    polling.until(lambda: time.monotonic() > hidden_at + 2.5, every=0.25)
    assert page.run(asked) == count
    page.run(hide, False)
    page.until(lambda: page.text("#pulse").startswith("live"), "a page that is live again")


def test_a_dead_worker_is_shown_until_it_is_back(page: chromium.Page, scene: stage.Stage) -> None:
    slot = scene.kill_worker(scene.dubbo)
    row = f"[data-key=worker-{slot}]"

    def is_shown() -> bool:
        scene.keep_down(slot)  # A page that is starved looks too late, once.
        return "down, waits for its restart" in page.text(row)

    page.until(is_shown, "the dead worker")
    assert "SIGKILL" in page.text(row)
    assert page.text("h1") == "Needs attention"
    assert "error" in _row(page, scene, scene.dubbo)
    assert f"worker {slot}" in page.text(".problems")
    page.until(lambda: page.text("h1") == "All is well", "the worker is back")
    assert "running" in page.text(row)
    assert page.text(".problems") == ""


def test_names_of_nodes_are_only_ever_text(page: chromium.Page, scene: stage.Stage) -> None:
    scene.hide(stage.HOSTILE)
    page.until(lambda: "onerror" in page.text(".problems"), "the node that is left out")
    shown = page.text(".problems .names")
    assert f"{scene.services}/<img src=x onerror=window.ran=1> \\u202etxt" in shown
    assert "ZooKeeper denies the right to read it" in shown
    assert "sync.exclude" in page.text(".problems .remedy")
    assert "long " * 40 not in shown
    page.run("document.querySelector('.names summary').click()")
    assert "long " * 44 in page.text(".problems .names")
    assert page.run("return document.querySelectorAll('img').length") == 1  # our own
    assert page.run("return window.ran ?? null") is None
    assert page.text("h1") == "Running, with something to look at"


def test_a_guarded_shard_says_why_and_what_to_type(page: chromium.Page, scene: stage.Stage) -> None:
    assert page.run("return window.marker") == "same document"
    scene.add_guarded()
    card = ".card.guard"
    page.until(lambda: page.text(card), "the guard's card")
    shard = scene.supervisor.shards()[scene.late]
    shown = page.text(card)
    assert shard["guard"]["reason"] in shown
    assert "14 of 14 keys" in shown
    assert shard["guard"]["id"] in shown
    release = f"zk2etcd release {shard['id']} -c config.yaml"
    assert release in page.texts(f"{card} .command code")
    assert page.text("h1") == "Needs attention"
    assert "guarded" in _row(page, scene, scene.late)
    page.run("document.querySelector('.card.guard summary').click()")
    assert f"{scene.late}/checkout/old-0" in page.text(f"{card} .names")
    reads_too = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    page.emulate("Browser.grantPermissions", permissions=reads_too)
    buttons = page.driver.find_elements("css selector", f"{card} .copy")
    buttons[-1].click()
    page.until(lambda: buttons[-1].text == "Copied", "the button says so")
    assert page.run("return navigator.clipboard.readText()") == release


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_in_light_and_dark(page: chromium.Page, scheme: str) -> None:
    """WCAG AA: 4.5, of large text 3; with a healthy worker, a guard, and something left out."""
    page.scheme(scheme)
    try:
        paper = looks.paper(page)
        assert (paper < 0.1) if scheme == "dark" else (paper > 0.8)
        found = looks.contrasts(page)
        assert len(found) > 60
        assert [each for each in found if each["ratio"] < each["least"]] == []
    finally:
        page.scheme("")


def test_it_fits_a_phone(page: chromium.Page) -> None:
    page.size(*_PHONE, mobile=True)
    try:
        assert page.run("return innerWidth") == _PHONE[0]
        assert page.run("return document.documentElement.scrollWidth") <= _PHONE[0]
        assert looks.overflowing(page) == []
        assert page.run("return getComputedStyle(document.querySelector('tr')).display") == "grid"
    finally:
        page.size(*_DESK)


def test_without_scripts_it_can_be_read_and_reloads_itself(page: chromium.Page) -> None:
    page.scripts(False)
    try:
        page.driver.refresh()
        assert page.text("h1") == "Needs attention"
        assert "guarded" in page.text("table")
        assert page.run("return document.querySelectorAll('svg').length") == 0
        refresh = "return document.querySelector('meta[http-equiv=refresh]').content"
        assert page.run(refresh) == "5"
    finally:
        page.scripts(True)
        page.driver.refresh()


def test_it_works_below_the_path_of_a_proxy(browser: chromium.Page, scene: stage.Stage) -> None:
    with prefixed.proxied(scene.supervisor.address) as address:
        browser.open("about:blank")
        browser.hosts()
        browser.open(f"http://{address}{prefixed.PREFIX}/")
        browser.until(lambda: browser.text("#pulse").startswith("live"), "a page that is live")
        lines, headline = _lines(browser), browser.text("h1")
        links = browser.run("return [...document.links].map((e) => e.pathname)")
        asked, said = browser.hosts(), browser.complaints()
        browser.open(scene.supervisor.url)
        browser.hosts()
    assert len(lines) > 2
    assert headline == "Needs attention"
    assert all(path.startswith(f"{prefixed.PREFIX}/") for path in links)
    assert (asked, said) == ({address}, [])


def test_the_policy_stops_what_is_not_ours(page: chromium.Page) -> None:
    """And the console is watched: what the other tests find empty is not empty here."""
    page.run(
        """
        const script = document.createElement("script");
        script.textContent = "window.ran = 2";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<p id=p style='color:red' onclick='x()'>");
        fetch("http://192.0.2.1/").catch(() => {});
        """
    )
    page.until(lambda: len(said := page.complaints()) >= 3 and said, "three violations")
    page.hosts()
    assert page.run("return window.ran ?? null") is None
    page.driver.refresh()


def test_a_supervisor_that_is_gone_is_said_and_found_again(
    browser: chromium.Page, scene: stage.Stage
) -> None:
    browser.run("window.marker = 'same document'")
    scene.supervisor.kill()
    hidden = "return document.getElementById('lost').hidden"
    browser.until(lambda: not browser.run(hidden), "the alert")
    assert "has not answered since" in browser.text("#lost")
    assert browser.run("return document.title").startswith("No answer")
    scene.supervisor.start()
    browser.until(lambda: browser.run(hidden), "the alert is gone")
    assert browser.text("#pulse").startswith("live")
    assert browser.run("return window.marker") == "same document"
    instance = json.loads(scene.supervisor.ask("/status")[1])["instance"]
    browser.until(lambda: instance in browser.text("footer"), "the new instance")
    said = browser.complaints()
    assert said
    assert all("net::ERR_" in each for each in said), said
    assert browser.hosts() == {scene.supervisor.address}
