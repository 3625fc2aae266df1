"""Take the README's pictures of the console, light and dark, in Chromium. `make pictures` runs it.

    python examples/console_pictures.py --out docs/pictures

A service on a temporary directory learns generated streams; a browser watches one while its last days come in. Needs
playwright and Debian's chromium; without them it says so and leaves the pictures as they are.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
from pathlib import Path

from picture import PER_DAY, counts, service

from uoro_client import Client, Observation

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SIZE = {"width": 1280, "height": 800}
WATCHED_DAYS = 5
FAULT_STEPS = 4  # so long a sensor says far too much, some days before the end
LAST = 24
PAUSE_MS = 110  # between the last observations, so that the figures show a stream that runs
MAIN = "city/taxis"


def taxis() -> list[Observation]:
    """The counts of `picture`, their beginning, with a fault."""
    rows = counts()[: 40 * PER_DAY]
    fault = range(len(rows) - 3 * PER_DAY + 10, len(rows) - 3 * PER_DAY + 10 + FAULT_STEPS)
    return [Observation({"count": value * (2 if i in fault else 1)}, t=t) for i, (t, value) in enumerate(rows)]


def others(client: Client) -> None:
    """Company in the list: sensors of a plant, a shop's events."""
    chance = random.Random(2)
    for i in range(14):
        unit, site = ("kW", "bar", "°C")[i % 3], ("north", "south")[i % 2]
        name = f"plant/{i // 3 + 1}/{('load', 'pressure', 'temperature')[i % 3]}"
        client.create_stream(name, {"fields": {"value": {"type": "number"}}}, labels={"site": site, "unit": unit})
        period, size = 9 + 2 * i, 10.0 * (i + 2)
        values = [size * (3 + math.sin(k / period * 2 * math.pi) + chance.gauss(0, 0.08)) for k in range(500)]
        client.observe_many(name, [Observation({"value": round(value, 2)}) for value in values])
    client.create_stream("shop/events", {"fields": {"kind": {"type": "category", "size": 16}}}, labels={"site": "web"})
    usual = ["view", "view", "cart", "view", "buy", "leave"]
    words = [usual[k % 6] if chance.random() < 0.85 else chance.choice(usual) for k in range(900)]
    client.observe_many("shop/events", [Observation({"kind": word}) for word in words])
    client.freeze("plant/2/load")


def take(client: Client, url: str, out: Path, chromium: str) -> None:
    """Open the console, let the last days come in, and take the pictures."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a tool of development

    rows = taxis()
    live = WATCHED_DAYS * PER_DAY
    client.create_stream(MAIN, {"fields": {"count": {"type": "number"}}}, labels={"site": "city"})
    client.observe_many(MAIN, rows[:-live])
    client.snapshot(MAIN, "five-weeks")
    others(client)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(f"{url}/#/streams/{MAIN.replace('/', '%2F')}")
        page.wait_for_selector(f'.charts[data-newest="{len(rows) - live}"]')
        page.get_by_label("Steps ahead").select_option("48")
        for row in rows[-live:-LAST]:
            client.observe(MAIN, row.x, t=row.t)
        for row in rows[-LAST:]:
            client.observe(MAIN, row.x, t=row.t)
            page.wait_for_timeout(PAUSE_MS)
        page.wait_for_selector(f'.charts[data-newest="{len(rows)}"]')
        page.wait_for_timeout(1500)  # figures and steps ahead are asked for every two seconds
        out.mkdir(parents=True, exist_ok=True)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(600)
            page.screenshot(path=out / f"console-{scheme}.png")
        page.emulate_media(color_scheme="light")
        page.goto(f"{url}/#/")
        page.wait_for_selector("tbody tr")
        page.wait_for_timeout(2500)
        page.screenshot(path=out / "console-streams.png")
        browser.close()


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is not installed: the pictures of the console stay as they are")
        return
    with service() as (client, url):
        take(client, url, out, chromium)
    print(*sorted(out.glob("console-*.png")), sep="\n")


if __name__ == "__main__":
    main()
