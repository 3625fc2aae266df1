"""The console's files as they are served, and what the API tells of many streams at once for it."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from api_ground import Server, serving
from key_ground import guarded

from uoro import limits
from uoro.api.assets import FOR_GOOD, LIBRARIES, OWN

UPLOT = {
    "uplot-1.6.31.js": "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2",
    "uplot-1.6.31.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""SHA-256 of dist/uPlot.iife.min.js and dist/uPlot.min.css of uPlot 1.6.31 as its authors published it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_the_chart_library_is_the_one_its_authors_published(server: Server) -> None:
    """Byte for byte; and the page refuses any other by the hash it names."""
    page = server.client.get("/").text
    for name, digest in UPLOT.items():
        content = server.client.get(f"/assets/{name}").content
        assert hashlib.sha256(content).hexdigest() == digest
        integrity = base64.b64encode(hashlib.sha384(content).digest()).decode()
        assert re.search(f'"/assets/{re.escape(name)}" integrity="sha384-{re.escape(integrity)}"', page)


def test_libraries_are_kept_for_good_and_our_files_asked_for_again(server: Server) -> None:
    """Each has an ETag of its content, which is answered with 304 and nothing."""
    names = {path.name for path in OWN.iterdir() if path.suffix in {".js", ".css"}} | LIBRARIES.keys()
    assert {"console.js", "console.css"} < names
    tags = set()
    for name in names:
        reply = server.client.get(f"/assets/{name}")
        assert (reply.status_code, reply.headers["cache-control"] == FOR_GOOD) == (200, name in LIBRARIES)
        again = server.client.get(f"/assets/{name}", headers={"if-none-match": f'"other", W/{reply.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", reply.headers["etag"])
        assert server.client.get(f"/assets/{name}", headers={"if-none-match": '"other"'}).status_code == 200
        tags.add(reply.headers["etag"])
    assert len(tags) == len(names)


def test_nothing_of_the_page_comes_from_elsewhere(server: Server) -> None:
    """Every address in our files is this service's own, but for two namespaces; the docs page likewise."""
    texts = [path.read_text() for path in OWN.iterdir()] + [server.client.get("/docs").text]
    found = {address for text in texts for address in re.findall(r"""https?://[^\s"'`<>)$]+""", text)}
    assert found <= {"http://www.w3.org/2000/svg"}
    policy = server.client.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy


def test_our_scripts_never_parse_markup() -> None:
    """No file of ours names a way to make elements from a string, inline handlers or styles; the search can find."""
    markup = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|style=|\son\w+=\""
    )
    assert markup.search("x.innerHTML = y")
    for path in OWN.iterdir():
        assert not markup.search(path.read_text()), path


def test_every_file_is_among_the_packaged_ones() -> None:
    """A wheel carries what pyproject.toml names; the libraries' packages are among the dependencies."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"api/console/*"' in project
    assert all(path.is_file() for path in OWN.iterdir())
    for package, _ in LIBRARIES.values():
        assert find_spec(package) is not None
        assert f'"{package.replace("_", "-")}' in project


def list_of(server: Server, query: str) -> Any:
    return server.client.get(f"/v1/streams?{query}").json()


def test_a_glance_agrees_with_the_stream_itself(server: Server) -> None:
    """Losses, anomaly and next are those of `metrics` and `prediction`; the trend is what was sent and said."""
    stream = server.create("glance/")
    values = [round(math.sin(i / 5) * 7, 2) for i in range(limits.TREND_STEPS + 10)]
    rows = "\n".join(f'{{"x":{{"v":{v},"k":"{"ab"[i % 2]}"}}}}' for i, v in enumerate(values))
    assert server.post(stream, rows.encode(), content_type="application/x-ndjson").json()["accepted"] == len(values)
    (told,) = list_of(server, "prefix=glance/&glance=true")["streams"]
    glance, path = told["glance"], f"/v1/streams/{stream.replace('/', '%2F')}"
    metrics = server.client.get(f"{path}/metrics").json()
    assert {k: glance[k] for k in ("loss", "baseline_loss", "skill", "anomaly")} == {
        k: metrics[k] for k in ("loss", "baseline_loss", "skill", "anomaly")
    }
    assert glance["next"] == server.client.get(f"{path}/prediction").json()["prediction"]
    assert glance["x"] == {"v": values[-1], "k": "ab"[(len(values) - 1) % 2]}
    assert glance["trend"] == values[-limits.TREND_STEPS :]
    results = server.client.get(f"{path}/results?limit={limits.TREND_STEPS}").json()["results"]
    assert glance["predicted"] == [result["prediction"]["v"]["mean"] for result in results]
    assert [result["x"]["v"] for result in results] == glance["trend"]


def test_a_glance_of_what_is_new_alone_or_of_categories(server: Server) -> None:
    """Nothing is known before the first observation; a category's trend is the probability of what came."""
    new = server.create("kinds/a")
    alone = server.create("kinds/b", aggregation="none")
    words = server.create("kinds/c", fields={"k": {"type": "category", "size": 4}})
    server.observe(alone, 1.0, 2.0)
    replies = [server.post(words, f'{{"x":{{"k":"{k}"}}}}'.encode()).json() for k in "aab"]
    told = {stream["id"]: stream["glance"] for stream in list_of(server, "prefix=kinds/&glance=1")["streams"]}
    assert (told[new]["x"], told[new]["next"], told[new]["trend"]) == ({}, None, [])
    assert (told[alone]["x"], told[alone]["trend"]) == ({"v": 2.0}, [None, None])
    assert told[words]["x"] == {"k": "b"}
    assert told[words]["trend"] == [None if r["loss"] is None else pytest.approx(math.exp(-r["loss"])) for r in replies]


def test_a_page_of_glances_is_bounded(server: Server) -> None:
    """At the limit it is taken, one past it is refused; without glances the page may be longer. Totals count ids."""
    assert server.client.get(f"/v1/streams?glance=true&limit={limits.MAX_GLANCES}").status_code == 200
    reply = server.client.get(f"/v1/streams?glance=true&limit={limits.MAX_GLANCES + 1}")
    assert (reply.status_code, reply.json()["field"]) == (422, "limit")
    assert server.client.get(f"/v1/streams?limit={limits.MAX_GLANCES + 1}").status_code == 200
    for _ in range(3):
        server.create("total/")
    page = list_of(server, "prefix=total/&limit=2&glance=true")
    assert (len(page["streams"]), page["total"], "glance" in page["streams"][0]) == (2, 3, True)
    assert "glance" not in list_of(server, "prefix=total/")["streams"][0]


def test_a_stream_that_went_away_has_no_glance(server: Server) -> None:
    """Between the list and the read it may be deleted: its place is empty, and the others have theirs."""
    stream = server.create("gone/")
    gone, there = server.engine.glances(["never", stream]).result()
    assert gone is None
    assert there is not None


def test_a_confined_key_has_glances_of_its_own_streams_alone(tmp_path: Path) -> None:
    """And totals that count no others."""
    with guarded(tmp_path / "keys.json") as ground:
        own, other = ground.server.create("own/"), ground.server.create("other/")
        key = ground.keys.make("read", prefix="own/")
        reply = ground.call(key, "GET", "/v1/streams?glance=true")
        while reply.status_code == 401:
            reply = ground.call(key, "GET", "/v1/streams?glance=true")
        assert ([s["id"] for s in reply.json()["streams"]], reply.json()["total"]) == ([own], 1)
        assert other not in reply.text
