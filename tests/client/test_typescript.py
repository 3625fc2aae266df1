"""The TypeScript client: its types are those of the service, it builds, and its own tests pass.

They are run by node's test runner, first against a double, then against the live service, which they kill, stop and
start through a door of this file's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from key_ground import KeyFile
from live_service import LiveService

SOURCE = Path(__file__).parents[2] / "clients" / "typescript"
UNREACHED = re.compile(r"ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET|ENETUNREACH|ENOTCACHED|\b(403|404) ")
MIN_NODE = (20, 10)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built copy of the package, or a reason why there is none."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MIN_NODE:
        pytest.skip(f"node {version.strip()} is older than {MIN_NODE}")
    copy = tmp_path_factory.mktemp("typescript") / "package"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    installed = run(copy, "npm", "ci")
    if installed.returncode and UNREACHED.search(installed.stderr):
        pytest.skip("the npm registry cannot be reached")
    assert installed.returncode == 0, installed.stderr
    built = run(copy, "npm", "run", "build")
    assert built.returncode == 0, built.stdout
    return copy


class Guarded(LiveService):
    """A service whose keys are there before it starts: a new one it would know only after a second."""

    def __init__(self, data_dir: Path, origin: str) -> None:
        keys = KeyFile(data_dir / "keys.json")
        settings = {"API_KEYS_FILE": str(keys.path), "SNAPSHOT_INTERVAL_S": "0.5", "MAX_QUEUE_OBSERVATIONS": "1000"}
        super().__init__(data_dir, {**settings, "CORS_ORIGINS": origin})
        self.admin = keys.make("admin")
        self.rationed = keys.make("read", "write", max_observations_per_s=1_000)


@pytest.fixture(scope="module")
def site(package: Path) -> Iterator[str]:
    """Another site than the service, with the package on it."""
    (package / "page.html").write_text("<!doctype html><title>a page</title>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with served(partial(Quiet, directory=str(package))) as address:
        yield address


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, site: str) -> Iterator[Guarded]:
    service = Guarded(tmp_path_factory.mktemp("typescript-service"), site)
    service.start()
    yield service
    service.end()


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command's outcome, its output included."""
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=500, check=False
    )


@contextmanager
def door_of(service: LiveService) -> Iterator[str]:
    """An address whose paths kill, stop and start the service."""
    acts = {"/kill": service.kill, "/stop": service.stop, "/start": service.start}

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            acts[self.path]()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with served(Door) as address:
        yield address


@contextmanager
def served(answer: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """An address on this machine, for as long as it is needed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_against_a_double(package: Path) -> None:
    """Retries and writers, whatever is lost on the way."""
    judged(run(package, "node", "--test", "test/writer.test.js"), 20)


def test_against_the_live_service(package: Path, service: Guarded) -> None:
    """Every call; subscriptions; kills and a stop; a flood; a ration."""
    with door_of(service) as door:
        environment = {
            "UORO_URL": service.url,
            "UORO_CONTROL": door,
            "UORO_KEY": service.admin,
            "UORO_RATIONED_KEY": service.rationed,
        }
        # Globally there is no WebSocket before node 22; from there on the flag is taken and changes nothing.
        judged(run(package, "node", "--experimental-websocket", "--test", "test/live.test.js", **environment), 8)


@pytest.mark.parametrize("number", [0, 1])
def test_an_example_of_the_readme_runs(package: Path, service: Guarded, number: int) -> None:
    """As it stands, but for the address, the key and the path of the package; it says what its comments promise."""
    example = re.findall(r"```js\n(.*?)```", (package / "README.md").read_text(), re.DOTALL)[number]
    key = json.dumps({"apiKey": service.admin})
    example = example.replace('"http://127.0.0.1:8000"', f'"{service.url}", {key}').replace(
        '"uoro-client"', '"./dist/index.js"'
    )
    (package / "example.mjs").write_text(example)
    outcome = run(package, "node", "--experimental-websocket", "example.mjs")
    assert outcome.returncode == 0, outcome.stderr
    assert number or re.findall(r"^(\d+) \{ value: \d+ \}", outcome.stdout, re.MULTILINE) == [
        str(n) for n in range(41, 51)
    ]


def test_in_a_browser(site: str, service: Guarded) -> None:
    """On a page of another site, with a key: a writer and a subscription go through a kill."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    begin = """async ([url, apiKey]) => {
        const { Client } = await import("/dist/index.js");
        const client = new Client(url, { apiKey, patience: { maxAttempts: 1000, maxTotalS: 240, maxPauseS: 1 } });
        await client.create("page", { fields: { v: { type: "number" } }, hidden_size: 2 });
        window.told = [];
        window.writer = client.writer("page");
        window.listening = (async () => {
            for await (const { seq, x } of client.subscribe("page", { after: 0 })) {
                if (window.told.push([seq, x.v]) === 20) return;
            }
        })();
        for (let n = 1; n <= 10; n++) await window.writer.observe({ v: n });
    }"""
    go_on = """async () => {
        for (let n = 11; n <= 20; n++) await window.writer.observe({ v: n });
        await window.listening;
        return window.told;
    }"""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{site}/page.html")
        page.evaluate(begin, [service.url, service.admin])
        service.kill()
        service.start(wait=False)
        told = page.evaluate(go_on)
        browser.close()
    assert told == [[n, n] for n in range(1, 21)]


def judged(outcome: subprocess.CompletedProcess[str], num_least: int) -> None:
    """All tests passed, and they were not few."""
    assert outcome.returncode == 0, outcome.stdout[-8000:] + outcome.stderr[-2000:]
    passed = re.search(r"^(?:#|ℹ) pass (\d+)$", outcome.stdout, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= num_least


def test_the_types_are_those_of_the_service(package: Path, service: Guarded) -> None:
    """`npm run types` against the running service writes what is there already."""
    before = (package / "src" / "openapi.ts").read_text()
    made = run(package, "npm", "run", "types", UORO_URL=service.url)
    assert made.returncode == 0, made.stdout + made.stderr
    assert (package / "src" / "openapi.ts").read_text() == before, "run `npm run types` in clients/typescript"


def test_a_mistake_does_not_compile(package: Path) -> None:
    """A wrong type of a field, a misspelt option and a missing check of a forecast's kind are errors."""
    (package / "src" / "mistake.ts").write_text(
        'import { Client } from "./index.js";\n'
        "const client = new Client();\n"
        'await client.observe("a", { v: [1] });\n'
        'await client.create("a", { fields: { v: { type: "nummer" } } });\n'
        'console.log((await client.predict("a"))[0].v.mean);\n'
    )
    try:
        outcome = run(package, "npx", "--no-install", "tsc", "--noEmit")
    finally:
        (package / "src" / "mistake.ts").unlink()
    lines = {int(line) for line in re.findall(r"src/mistake\.ts\((\d+),", outcome.stdout)}
    assert lines == {3, 4, 5}, outcome.stdout


def test_it_needs_nothing_at_run_time() -> None:
    """No dependencies but those to build it; the lock names versions and no place to fetch them from."""
    declared = json.loads((SOURCE / "package.json").read_text())
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    assert "dependencies" not in declared
    assert lock["packages"][""]["version"] == declared["version"]
    assert all("resolved" not in entry for entry in lock["packages"].values())
