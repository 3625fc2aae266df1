"""The OpenAPI document: complete, consistent in itself, and stable in its names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_ground import serving

CALLS = {
    ("put", "/v1/streams/{stream}"): ("createStream", {201, 200, 409, 422}),
    ("get", "/v1/streams/{stream}"): ("describeStream", {200, 404}),
    ("get", "/v1/streams"): ("listStreams", {200}),
    ("delete", "/v1/streams/{stream}"): ("deleteStream", {204, 404}),
    ("post", "/v1/streams/{stream}/observations"): ("observe", {200, 400, 409, 413, 415, 422, 429, 503}),
    ("post", "/v1/observations"): ("observeStreams", {200, 400, 413, 415, 422, 429, 503}),
    ("post", "/api/v1/write"): ("remoteWrite", {204, 400, 413, 415, 429, 503}),
    ("get", "/v1/streams/{stream}/prediction"): ("predict", {200}),
    ("get", "/v1/streams/{stream}/metrics"): ("streamMetrics", {200}),
    ("get", "/v1/streams/{stream}/results"): ("recentResults", {200}),
    ("post", "/v1/streams/{stream}/freeze"): ("freezeStream", {200}),
    ("post", "/v1/streams/{stream}/unfreeze"): ("unfreezeStream", {200}),
    ("post", "/v1/streams/{stream}/snapshots"): ("saveSnapshot", {201}),
    ("get", "/v1/streams/{stream}/snapshots"): ("listSnapshots", {200}),
    ("post", "/v1/streams/{stream}/snapshots/{name}/restore"): ("restoreSnapshot", {200, 404}),
    ("get", "/v1/streams/{stream}/export"): ("exportModel", {200}),
    ("put", "/v1/streams/{stream}/import"): ("importModel", {201, 409, 422}),
    ("post", "/v1/streams/{stream}/clone"): ("cloneStream", {201, 404, 409}),
    ("get", "/api/v1/query_range"): ("forecastsOver", {200, 400, 503}),
    ("get", "/api/v1/query"): ("forecastsAt", {200, 400, 503}),
    ("get", "/api/v1/series"): ("forecastSeries", {200, 400, 503}),
    ("get", "/api/v1/labels"): ("forecastLabels", {200}),
    ("get", "/api/v1/label/{name}/values"): ("forecastLabelValues", {200, 400, 503}),
    ("get", "/api/v1/status/buildinfo"): ("forecastBuild", {200}),
    ("post", "/v1/tickets"): ("issueTicket", {201, 401, 429}),
    ("get", "/livez"): ("live", {200}),
    ("get", "/readyz"): ("ready", {200, 503}),
    ("get", "/metrics"): ("metrics", {200}),
}
"""Every call of the contract, its operation id, and the least it must document."""


@pytest.fixture(scope="module")
def document() -> Iterator[dict[str, Any]]:
    """The document as it is served."""
    with serving() as server:
        yield server.client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """All operations by method and path."""
    return {(method, path): call for path, calls in document["paths"].items() for method, call in calls.items()}


def test_every_call_of_the_contract_is_documented_and_no_other(document: dict[str, Any]) -> None:
    """With its operation id and its answers; the default shape of FastAPI's own errors is nowhere."""
    told = operations(document)
    assert told.keys() == CALLS.keys()
    for call, (operation_id, statuses) in CALLS.items():
        assert told[call]["operationId"] == operation_id
        assert told[call]["responses"].keys() >= {str(status) for status in statuses}
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_errors_are_problems(document: dict[str, Any]) -> None:
    """Every status from 400 on has the problem's shape and content type, but for queries as Prometheus refuses them."""
    for (_, path), call in operations(document).items():
        for status, response in call["responses"].items():
            if path.startswith("/api/v1/") and status == "400":
                shape = response["content"]["application/json"]["schema"]
                assert shape == {"$ref": "#/components/schemas/PrometheusRefusal"}
            elif int(status) >= 400:
                assert response["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """And every component is referred to."""

    def references(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) == schemas


def test_every_call_says_what_key_it_needs(document: dict[str, Any]) -> None:
    """Open, or a key with at most one scope of the three; what asks for a key documents 401 and 403."""
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for call in operations(document).values():
        if call["security"]:
            ((scheme, scopes),) = call["security"][0].items()
            assert (scheme, set(scopes) <= {"read", "write", "admin"}, len(scopes) <= 1) == ("key", True, True)
            assert call["responses"].keys() >= {"401", "403", "429"}
        else:
            assert "401" not in call["responses"]


def test_path_parameters_are_declared(document: dict[str, Any]) -> None:
    """Each name in a path is a required parameter of its calls."""
    for (_, path), call in operations(document).items():
        declared = {p["name"] for p in call.get("parameters", ()) if p["in"] == "path" and p["required"]}
        assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_observations_come_as_json_and_as_ndjson(document: dict[str, Any]) -> None:
    """Both content types are documented for both calls."""
    for path in ("/v1/streams/{stream}/observations", "/v1/observations"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert content.keys() == {"application/json", "application/x-ndjson"}


def test_every_cell_is_offered(document: dict[str, Any]) -> None:
    """The spec's schema lists the cells of the contract, and no other."""
    cells = document["components"]["schemas"]["StreamSpec"]["properties"]["cell"]["enum"]
    assert set(cells) == {"gru", "lstm", "rnn", "lru", "linear"}
