"""A scrape's text as numbers, read by prometheus_client's own parser."""

import re
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

Samples: TypeAlias = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Value by name and sorted labels."""


def samples(scraped: bytes) -> Samples:
    """Every sample by (name, sorted labels); the text must not name one twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(scraped.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def ours(scraped: bytes) -> Samples:
    return {key: value for key, value in samples(scraped).items() if key[0].startswith("uoro_")}


def of_streams(scraped: bytes) -> Samples:
    return {key: value for key, value in ours(scraped).items() if "stream" in dict(key[1])}


def kinds(scraped: bytes) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", scraped.decode(), re.MULTILINE))
