"""The console in a real Chromium, on a live service."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_service import LiveService

from uoro_client import Client, Observation

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the dev extra brings it)")
Page, Browser, expect = playwright.Page, playwright.Browser, playwright.expect

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
NUM_MANY = 2000
QUICK = {"fields": {"value": {"type": "number"}}, "hidden_size": 2, "season": "none", "learner": {"rank": 1}}
EVIL = "<img src=x onerror=alert(1)>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    service = LiveService(tmp_path_factory.mktemp("console"))
    try:
        service.start()
        yield service
    finally:
        service.end()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own; it must not have complained when the test is over."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
    page.on("dialog", lambda dialog: complaints.append(f"a dialog opened: {dialog.message}"))
    yield page
    context.close()
    assert complaints == []


def csv(num: int) -> str:
    chance = random.Random(3)
    rows = [
        f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z,{10 + 4 * math.sin(i / 8) + chance.gauss(0, 0.2):.3f}"
        for i in range(num)
    ]
    return "time,value\n" + "\n".join(rows)


def newest(page: Page) -> int:
    """The last place that the charts have drawn."""
    return int(page.locator(".charts").get_attribute("data-newest") or 0)


def drawn(page: Page, seq: int) -> None:
    """Wait until the charts have drawn a place."""
    expect(page.locator(".charts")).to_have_attribute("data-newest", str(seq), timeout=20_000)


def test_a_newcomer_is_told_what_to_do(service: LiveService, page: Page) -> None:
    """With no stream the page names one command; carried out as it stands, it makes the row appear by itself."""
    page.goto(service.url)
    command = page.locator("pre code").inner_text()
    url, body = re.search(r"curl -s (\S+) .* -d '(.*)'", command).groups()  # type: ignore[union-attr]
    assert httpx.post(url, content=body, headers={"content-type": "application/json"}).status_code == 200
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody th a")).to_have_text("taxi")
    assert page.title() == "UORO console"


def test_from_a_csv_to_a_stream_that_is_frozen_kept_and_rolled_back(service: LiveService, page: Page) -> None:
    """Dropped in, learned, drawn; more is drawn as it comes; frozen; a snapshot restored; cloned; deleted."""
    page.goto(service.url)
    page.get_by_role("button", name="New stream").click()
    dropped = page.evaluate_handle(
        "text => { const data = new DataTransfer(); data.items.add(new File([text], 'pump 7.csv')); return data; }",
        csv(700),
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    expect(page.locator(".preview")).to_have_text("700 observations of value (number); time from time")
    assert page.locator("dialog input[name=id]").input_value() == "pump-7"
    page.get_by_placeholder("site:north").fill("site:north, unit:bar")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="pump-7")).to_be_visible()
    drawn(page, 700)
    expect(page.locator(".labels span").first).to_have_text("site:north")
    with Client(service.url) as client:
        assert client.stream("pump-7").last_seq == 700
        for i in range(3):  # one by one: each is drawn without a reload
            client.observe("pump-7", {"value": 12.0 + i})
            drawn(page, 701 + i)
        expect(page.locator(".tiles dd").nth(2)).to_have_text("14")
        page.get_by_role("button", name="Freeze", exact=True).click()
        expect(page.locator(".state")).to_have_text("frozen")
        assert client.stream("pump-7").state == "frozen"
        page.get_by_role("button", name="Unfreeze").click()
        expect(page.locator(".state")).to_have_text("learning")
        page.get_by_label("Name of the snapshot").fill("before")
        page.get_by_role("button", name="Take").click()
        expect(page.locator(".snapshots li span").first).to_contain_text("before at 703")
        client.observe_many("pump-7", [{"value": 99.0}] * 20)
        drawn(page, 723)
        page.locator(".snapshots").get_by_role("button", name="Restore").click()
        page.get_by_role("dialog").get_by_role("button", name="Restore").click()
        drawn(page, 703)
        assert client.stream("pump-7").last_seq == 703
        with page.expect_download() as saving:
            page.get_by_role("button", name="Export").click()
        assert saving.value.suggested_filename == "pump-7.safetensors"
        client.import_model("pump-7-again", Path(saving.value.path()).read_bytes())
        assert client.metrics("pump-7-again").loss == client.metrics("pump-7").loss
        page.get_by_role("button", name="Clone").click()
        page.get_by_role("dialog").get_by_role("button", name="Clone").click()
        expect(page.get_by_role("heading", name="pump-7-copy")).to_be_visible()
        drawn(page, 703)
        page.get_by_role("button", name="Delete").click()
        delete = page.get_by_role("dialog").get_by_role("button", name="Delete")
        page.get_by_role("dialog").get_by_role("textbox").fill("pump-7")
        delete.click()
        assert client.stream("pump-7-copy").last_seq == 703  # the wrong id deletes nothing
        page.get_by_role("dialog").get_by_role("textbox").fill("pump-7-copy")
        delete.click()
        expect(page.get_by_role("heading", name="Streams")).to_be_visible()
        assert "pump-7-copy" not in [info.id for info in client.streams()]


def test_three_streams_are_watched_while_they_learn(service: LiveService, page: Page) -> None:
    """Numbers that rise in the list while observations come; a stream of categories shows what it expects."""
    with Client(service.url) as client:
        for i in range(3):
            client.create_stream(f"watch/{i}", QUICK)
        client.observe_many("watch/words", [{"kind": "abc"[i % 3]} for i in range(60)])
        page.goto(service.url)
        page.get_by_label("Ids that start with").fill("watch/")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(4)
        for num in (40, 80):
            for i in range(3):
                client.observe_many(f"watch/{i}", [{"value": math.sin(k / 4 + i)} for k in range(40)])
            for i in range(3):
                expect(rows.nth(i).locator("td").nth(1)).to_have_text(str(num))
        assert rows.nth(0).locator("path.came").get_attribute("d", timeout=1000).count("L") == 31  # type: ignore[union-attr]
        page.get_by_role("link", name="watch/words").click()
        expect(page.get_by_role("list", name="Probabilities").locator("li").first).to_contain_text("a")
        drawn(page, 60)


def test_it_comes_back_by_itself_after_a_restart(service: LiveService, page: Page) -> None:
    """The server is killed and started again: what was missed and what comes is drawn, on the page as it was."""
    with Client(service.url) as client:
        client.create_stream("restart", QUICK)
        client.observe_many("restart", [{"value": float(i % 5)} for i in range(20)])
        page.goto(f"{service.url}/#/streams/restart")
        drawn(page, 20)
        page.evaluate("window.isTheSamePage = true")
        service.kill()
        expect(page.locator(".live")).to_have_text("reconnecting…")
        expect(page.locator("#health")).to_have_text("service not reached")
        service.start()
        client.observe_many("restart", [{"value": 1.0}] * 5)
        drawn(page, 25)
        expect(page.locator(".live")).to_have_text("live")
        client.observe("restart", {"value": 2.0})
        drawn(page, 26)
        assert page.evaluate("window.isTheSamePage") is True


def test_what_users_made_is_text(service: LiveService, page: Page) -> None:
    """Labels, categories, field names and an address with markup in them are shown as they are, and run nothing."""
    fields = {EVIL: {"type": "category", "size": 16}}
    with Client(service.url) as client:
        client.create_stream("evil", {"fields": fields}, labels={EVIL: EVIL})
        client.observe_many("evil", [Observation({EVIL: EVIL})] * 5)
    page.goto(service.url)
    page.get_by_label("Ids that start with").fill("evil")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody .labels")).to_have_text(f"{EVIL}:{EVIL}")
    page.get_by_role("link", name="evil").click()
    expect(page.get_by_role("list", name="Probabilities").locator("li span").first).to_have_text(EVIL)
    expect(page.locator(".charts h2").first).to_contain_text(EVIL)
    page.goto(f"{service.url}/#/streams/{EVIL.replace(' ', '%20')}")
    expect(page.locator("h1")).to_have_text(EVIL)
    assert page.locator("main img").count() == 0


def test_two_thousand_streams_are_a_list_that_does_not_lag(service: LiveService, page: Page) -> None:
    """One request a page, whatever is on it; forth and back; search and label; the page has only the rows it shows."""
    many = [f"many/{i:04}" for i in range(NUM_MANY)]
    for start in range(0, NUM_MANY, 500):
        lines = [json.dumps({"stream": stream, "x": {"value": 1.0}}) for stream in many[start : start + 500]]
        headers = {"content-type": "application/x-ndjson"}
        reply = httpx.post(f"{service.url}/v1/observations", content="\n".join(lines), headers=headers, timeout=60)
        assert reply.json()["accepted"] == len(lines)
    with Client(service.url) as client:
        client.create_stream("many/labelled", QUICK, labels={"site": "south"})
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url) if "/v1/" in request.url else None)
    page.goto(service.url)
    page.get_by_label("Ids that start with").fill("many/")
    expect(page.locator("#total")).to_have_text("1–50 of 2,001")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#total")).to_have_text("51–100 of 2,001")
    expect(page.locator("tbody tr th a").first).to_have_text("many/0050")
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("tbody tr th a").first).to_have_text("many/0000")
    page.get_by_label("Ids that start with").fill("many/1999")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Ids that start with").fill("many/")
    page.get_by_label("Label, key:value").fill("site:south")
    expect(page.locator("tbody tr th a")).to_have_text(["many/labelled"])
    assert {call.split("?")[0] for call in calls} == {f"{service.url}/v1/streams"}


def test_it_is_operable_by_keyboard_in_both_themes_and_on_a_narrow_screen(service: LiveService, page: Page) -> None:
    """A slash searches, Tab reaches the stream, Enter opens it, Escape goes back; nothing overflows at 360 pixels."""
    with Client(service.url) as client:
        client.create_stream("keyboard", QUICK)
        client.observe_many("keyboard", [{"value": float(i % 7)} for i in range(30)])
    page.emulate_media(color_scheme="dark")
    page.goto(service.url)
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_label("Switch between light and dark").click()
    assert page.evaluate(colour) != dark
    page.locator("main").focus()
    page.keyboard.press("/")
    page.keyboard.type("keyboard")
    expect(page.locator("tbody tr")).to_have_count(1)
    for _ in range(4):  # label, button, table, stream
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="keyboard")).to_be_visible()
    drawn(page, 30)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("main").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Streams")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


NUMBERS = {"value": {"type": "number"}}


@pytest.mark.parametrize(
    ("text", "fields", "observations"),
    [
        ("1\n2.5\r\n-3e2\n", NUMBERS, [{"x": {"value": 1}}, {"x": {"value": 2.5}}, {"x": {"value": -300}}]),
        ("1, 2,3", NUMBERS, [{"x": {"value": 1}}, {"x": {"value": 2}}, {"x": {"value": 3}}]),
        (
            "2015-07-01 00:30:00,7\n2015-07-01 01:00,8",
            NUMBERS,
            [{"x": {"value": 7}, "t": "2015-07-01T00:30:00"}, {"x": {"value": 8}, "t": "2015-07-01T01:00:00"}],
        ),
        ("time;a\n10;1\n20;NA", {"a": {"type": "number"}}, [{"x": {"a": 1}, "t": 10}, {"x": {}, "t": 20}]),
        (
            'kind\tn\n"a ""b""\tc"\t1\nd\t2',
            {"kind": {"type": "category", "size": 16}, "n": {"type": "number"}},
            [{"x": {"kind": 'a "b"\tc', "n": 1}}, {"x": {"kind": "d", "n": 2}}],
        ),
        ("\ufeffv,void\n1,\n2,", {"v": {"type": "number"}}, [{"x": {"v": 1}}, {"x": {"v": 2}}]),
        ("a,b\n1,2\n3", None, "row 2 has 1 columns and the first has 2"),
        ("a,a\n1,2", None, "two columns have the same name"),
        (" \n", None, "there is nothing in it yet"),
    ],
)
def test_pasted_text_is_read_as_a_person_would(
    service: LiveService, page: Page, text: str, fields: object, observations: object
) -> None:
    """Separators, quotes, headers or none, times, missing values; what cannot be read is told in a sentence."""
    page.goto(service.url)
    read = "async text => { const { read } = await import('/assets/csv.js'); return read(text); }"
    read = f"text => ({read})(text).catch(error => error.message)"
    table = page.evaluate(read, text)
    if fields is None:
        assert table == observations
    else:
        assert (table["fields"], table["observations"]) == (fields, observations)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(service: LiveService, browser: Browser, scheme: str) -> None:
    """The list, the empty list, a stream and the dialogs by axe-core's rules, contrast among them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    with Client(service.url) as client:
        client.create_stream(f"axe/{scheme}", QUICK, labels={"site": "south"})
        client.observe_many(f"axe/{scheme}", [{"value": float(i % 7)} for i in range(40)])
        client.snapshot(f"axe/{scheme}", "kept")
    # The rules make elements from strings, which the page's own policy forbids.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page = context.new_page()

    def barriers() -> list[str]:
        found = axe.run(page).response["violations"]
        return [f"{v['id']}: {node['html']}" for v in found for node in v["nodes"]]

    page.goto(service.url)
    page.get_by_label("Ids that start with").fill("axe/")
    expect(page.locator("tbody th a").first).to_be_visible()
    assert barriers() == []
    page.get_by_role("button", name="New stream").click()
    assert barriers() == []
    page.keyboard.press("Escape")
    page.get_by_label("Ids that start with").fill("nothing-like-it")
    expect(page.get_by_role("heading", name="No stream matches")).to_be_visible()
    assert barriers() == []
    page.goto(f"{service.url}/#/streams/axe%2F{scheme}")
    drawn(page, 40)
    expect(page.locator(".snapshots li span")).to_be_visible()
    assert barriers() == []
    page.get_by_role("button", name="Delete").click()
    assert barriers() == []
    page.locator("dialog").evaluate("dialog => dialog.querySelector('h2').style.color = '#888'")  # a negative control
    page.locator("dialog h2").evaluate("h => h.style.backgroundColor = '#999'")
    assert any("color-contrast" in barrier for barrier in barriers())
    context.close()


def test_the_docs_are_there_without_a_network(service: LiveService, page: Page) -> None:
    """Swagger UI draws the calls from this service's own files."""
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if request.url.startswith("http") else None)
    page.goto(f"{service.url}/docs")
    expect(page.locator("#operations-streams-listStreams")).to_be_visible()
    assert hosts == {service.url.removeprefix("http://")}


def test_with_keys_it_asks_for_one_and_listens_by_ticket(browser: Browser, page: Page, tmp_path: Path) -> None:
    """A wrong key is told; the right one shows the streams, live too; it is kept in the tab's session alone."""
    from key_ground import KeyFile  # noqa: PLC0415 - the other tests need no keys

    keys = KeyFile(tmp_path / "keys.json")
    token = keys.make("admin")
    service = LiveService(tmp_path, {"API_KEYS_FILE": str(keys.path)})
    try:
        service.start()
        with Client(service.url, api_key=token) as client:
            client.create_stream("locked", QUICK)
            client.observe_many("locked", [{"value": 1.0}] * 5)
            page.goto(service.url)
            field = page.get_by_role("dialog").locator("input")
            field.fill("uoro_wrong")
            page.keyboard.press("Enter")
            expect(page.locator(".note.error").first).to_be_visible()
            field.fill(token)
            page.keyboard.press("Enter")
            page.get_by_role("link", name="locked").click()
            drawn(page, 5)
            client.observe("locked", {"value": 2.0})
            drawn(page, 6)
        assert token in page.evaluate("JSON.stringify(sessionStorage)")
        assert token not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate("JSON.stringify(sessionStorage)") == "{}"
    finally:
        service.end()
