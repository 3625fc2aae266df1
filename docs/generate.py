"""Writes the pages that the code itself tells, into docs/ or the folder that is named: `python docs/generate.py`.

settings.md: every setting and every limit. api.md: every call and every shape of the OpenAPI document.
"""  # noqa: INP001 - a program

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx

from uoro import limits
from uoro.api.app import create_app
from uoro.engine.engine import Engine
from uoro.engine.meter import SilentMeter
from uoro.observability.metrics import PrometheusMeter
from uoro.settings import Settings
from uoro.store.memory import MemoryShelf, MemoryStore

DOCS = Path(__file__).parent
HEAD = "<!-- Written by `python docs/generate.py`; do not edit. -->\n\n"
UNITS = ("chars", "bytes", "steps", "s", "units")


def settings_page() -> str:
    """Every setting with its default, and every limit with its value."""
    lines = [
        "# Settings and limits",
        "",
        "From the environment or a `.env` file; `uoro serve --help` says the same.",
        "",
        "| setting | default | is |",
        "|---|---|---|",
    ]
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        about = schema[name]
        default = "" if field.default_factory is not None else _code(field.default)
        bounds = [
            f"{word} {about[bound]}"
            for bound, word in (("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"))
            if bound in about
        ]
        if "enum" in about:
            bounds.append("one of " + ", ".join(f"`{value}`" for value in about["enum"]))
        told = "; ".join([_cell(str(field.description)), *bounds])
        lines.append(f"| `UORO_{name.upper()}` | {default} | {told} |")
    lines += [
        "",
        "## Limits that a deployment has",
        "",
        "Those with a setting can be moved.",
        "",
        "| limit | value | setting |",
        "|---|---|---|",
    ]
    for limit in fields(limits.Limits):
        setting = f"`UORO_{limit.name.upper()}`" if limit.name in Settings.model_fields else ""
        lines.append(f"| `{limit.name}` | {_number(limit.default)} | {setting} |")
    lines += ["", "## Limits of every deployment", "", "| limit | value | counts |", "|---|---|---|"]
    for name, value in vars(limits).items():
        if name.isupper() and isinstance(value, (int, float)):
            unit = name.rsplit("_", 1)[-1].lower()
            lines.append(f"| `{name}` | {_number(value)} | {unit if unit in UNITS else ''} |")
    return HEAD + "\n".join(lines) + "\n"


def api_page() -> str:
    """Every call with what it takes, answers and needs, and every shape."""
    document = asyncio.run(_document())
    lines = ["# API reference", "", document["info"]["description"].strip(), ""]
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            lines += [*_call(method.upper(), path, call), ""]
    lines += ["## Shapes", ""]
    for name, shape in sorted(document["components"]["schemas"].items()):
        lines += [*_shape(name, shape), ""]
    return HEAD + "\n".join(lines).rstrip() + "\n"


async def _document() -> dict[str, Any]:
    """The OpenAPI document as the service tells it."""
    bounds = limits.Limits()
    engine = Engine(MemoryStore(MemoryShelf()), "docs", bounds, SilentMeter(), auto_create=False)
    app = create_app(engine, bounds, PrometheusMeter("0", "numba", 0))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://docs") as client:
        told: dict[str, Any] = (await client.get("/openapi.json")).json()
        return told


def _call(method: str, path: str, call: dict[str, Any]) -> Iterator[str]:
    (needed,) = call["security"] or [None]
    scope = "no key" if needed is None else next((f"scope `{scope}`" for scope in needed["key"]), "any key")
    yield f"## {method} {path}"
    yield ""
    end = "" if call["summary"].endswith("?") else "."
    yield f"{call['summary']}{end} Where the service has keys: {scope}."
    if parameters := call.get("parameters"):
        yield from ("", "| parameter | in | is | about |", "|---|---|---|---|")
        for parameter in parameters:
            kind = _kind(parameter["schema"])
            yield f"| `{parameter['name']}` | {parameter['in']} | {kind} | {_cell(parameter['description'])} |"
    if body := call.get("requestBody"):
        yield ""
        taken = [f"`{media}`: {_kind(content['schema'])}" for media, content in body["content"].items()]
        yield f"Takes {body['description']}, as {' or '.join(taken)}."
    yield from ("", "| status | answer |", "|---|---|")
    for status, response in call["responses"].items():
        shapes = {_kind(content["schema"]) for content in response.get("content", {}).values()}
        told = f": {', '.join(sorted(shapes))}" if shapes else ""
        yield f"| {status} | {_cell(response['description'])}{told} |"


def _shape(name: str, shape: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield " ".join(shape.get("description", "").split("\n\nAttributes:")[0].split())
    members = shape.get("properties", {})
    if members:
        yield from ("", "| member | is | about |", "|---|---|---|")
    for member, about in members.items():
        default = f"; default {_code(about['default'])}" if about.get("default") is not None else ""
        yield f"| `{member}` | {_kind(about)}{default} | {_cell(about.get('description', ''))} |"


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for one_of in ("anyOf", "oneOf"):
        if one_of in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[one_of]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{_kind(schema['additionalProperties'])} by name"
    bounds = [
        f"{sign} {schema[bound]}"
        for bound, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if bound in schema
    ]
    return " ".join([str(schema.get("type", "anything")), *bounds])


def _code(value: object) -> str:
    if value is None or value == "":
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|").replace("<", "&lt;")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    (folder / "settings.md").write_text(settings_page())
    (folder / "api.md").write_text(api_page())
