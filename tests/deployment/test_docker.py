"""The image and the composition, judged without a Docker engine: files, settings, addresses and bounds agree."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from uoro.errors import InvalidSettings
from uoro.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCRAPED = yaml.safe_load((ROOT / "clients/prometheus/prometheus.yml").read_text())
SOURCES = yaml.safe_load((ROOT / "clients/grafana/provisioning/datasources/prometheus.yml").read_text())
PROVIDERS = yaml.safe_load((ROOT / "clients/grafana/provisioning/dashboards/uoro.yml").read_text())


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def copied() -> list[str]:
    """What the image takes from the checkout."""
    return [path for line in instructions("COPY") if "--from" not in line for path in line.split()[:-1]]


def image_environment() -> dict[str, str]:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    pairs = [pair.split("=", 1) for line in re.findall(r"^ENV (.+)$", final, re.MULTILINE) for pair in line.split()]
    return {name: value for name, value in pairs if name.startswith("UORO_")}


def mounts(service: str) -> list[list[str]]:
    return [volume.split(":") for volume in SERVICES[service].get("volumes", ())]


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No UORO_ variable and no .env file."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("UORO_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_what_the_image_copies_exists_and_is_let_in() -> None:
    """Each source of a COPY is in the checkout, and .dockerignore has an exception for it."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert path in let_in, path


def test_the_image_copies_what_the_build_needs() -> None:
    """The files that pyproject.toml names and the pinned version of torch are among the sources."""
    assert {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "service", "clients/python"} == set(copied())
    assert re.search(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert installs
    assert all("-c constraints.txt" in line for line in installs)


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The user is a number other than root's, and what it may write is the volume that settings name."""
    (user,) = instructions("USER")
    assert int(user) > 0
    assert instructions("VOLUME") == [image_environment()["UORO_DATA_DIR"]]


def test_the_image_starts_only_when_anonymous_callers_are_allowed(empty_environment: pytest.MonkeyPatch) -> None:
    """Its own settings are refused for listening beyond loopback without a key; the documented one lifts that."""
    for name, value in image_environment().items():
        empty_environment.setenv(name, value)
    with pytest.raises(InvalidSettings, match="UORO_ALLOW_ANONYMOUS"):
        Settings.load()
    empty_environment.setenv("UORO_ALLOW_ANONYMOUS", "true")
    assert Settings.load().host == "0.0.0.0"


def test_every_setting_is_a_real_one(empty_environment: pytest.MonkeyPatch) -> None:
    """Each UORO_ variable of the image and the composition names a field of Settings, and its value is usable."""
    environment = image_environment() | SERVICES["uoro"]["environment"]
    known = {f"UORO_{name}".upper() for name in Settings.model_fields}
    assert {name for name in environment if name.startswith("UORO_")} <= known
    for name, value in environment.items():
        assert isinstance(value, str), f"{name} is not quoted"
        empty_environment.setenv(name, value)
    settings = Settings.load()
    assert settings.redis_url == "redis://redis:6379"
    assert settings.auto_create


@pytest.fixture
def status() -> Iterator[list[int]]:
    """Answers /readyz with the status in the list, whose second number is the port."""
    answer = [200]

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer[0] if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Ready)
    answer.append(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("given", "is_healthy"), [(200, True), (503, False)])
def test_the_health_check_follows_readiness(status: list[int], given: int, is_healthy: bool) -> None:
    """The command of HEALTHCHECK succeeds on 200 from /readyz and fails on 503."""
    status[0] = given
    command = json.loads(re.findall(r"^HEALTHCHECK .*CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)[0])
    assert command[0] == "python"
    environment = {"UORO_PORT": str(status[1])}
    checked = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False)
    assert (checked.returncode == 0) is is_healthy


def test_what_is_mounted_exists() -> None:
    """Each path of the checkout is there and read-only inside; each named volume is declared, and no other."""
    named = set()
    for service in SERVICES:
        for source, *rest in mounts(service):
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
                assert rest[-1] == "ro", source
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"])


def test_ports_are_published_on_this_machine_alone() -> None:
    """Every published port is bound to 127.0.0.1, and Redis has none."""
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)
    assert ports["redis"] == []
    assert ports["uoro"] == [f"127.0.0.1:8000:{image_environment()['UORO_PORT']}"]


def test_containers_have_no_more_rights_than_they_need() -> None:
    """No capabilities, no new privileges; the service's root file system is read-only."""
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert SERVICES["uoro"]["read_only"] is True
    assert SERVICES["uoro"]["tmpfs"] == ["/tmp"]  # noqa: S108 - a mount inside the container


def test_whoever_is_waited_for_can_tell() -> None:
    """A service is started after healthy ones only where those have a health check; images have a version."""
    for service in SERVICES.values():
        for waited_for, condition in service.get("depends_on", {}).items():
            has_check = "healthcheck" in SERVICES[waited_for] or waited_for == "uoro"
            assert condition["condition"] == "service_started" or has_check
        assert "build" in service or re.search(r":v?\d+\.\d+", service["image"])


def test_redis_keeps_every_write() -> None:
    """Append-only with a flush for each write, nothing evicted, its files on a volume."""
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {"--appendonly": "yes", "--appendfsync": "always", "--maxmemory-policy": "noeviction"}
    assert ["redis-data", "/data"] in mounts("redis")


def can_meet(one: str, other: str) -> bool:
    return bool(set(SERVICES[one]["networks"]) & set(SERVICES[other]["networks"]))


def test_addresses_lead_to_services() -> None:
    """Redis, Prometheus' target and Grafana's source are services that the asking one shares a network with."""
    assert can_meet("uoro", "redis")
    assert not can_meet("grafana", "redis")
    (scraped,) = SCRAPED["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"uoro:{image_environment()['UORO_PORT']}"]}]
    assert can_meet("prometheus", "uoro")
    assert SOURCES["datasources"][0]["url"] == "http://prometheus:9090"
    assert SOURCES["datasources"][1]["url"] == f"http://uoro:{image_environment()['UORO_PORT']}"
    assert can_meet("grafana", "prometheus")
    assert can_meet("grafana", "uoro")
    assert {network for service in SERVICES.values() for network in service["networks"]} == set(COMPOSE["networks"])


def test_grafana_finds_the_dashboard() -> None:
    """The provider's folder is where the dashboards are mounted, and so is the page it opens with."""
    folder = PROVIDERS["providers"][0]["options"]["path"]
    assert ["./clients/grafana/dashboards", folder, "ro"] in mounts("grafana")
    assert ["./clients/grafana/provisioning", "/etc/grafana/provisioning", "ro"] in mounts("grafana")
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{folder}/uoro.json"
    assert (ROOT / "clients/grafana/dashboards/uoro.json").exists()


def test_prometheus_finds_the_rules() -> None:
    """Every rule file is mounted beside the configuration that names it."""
    inside = [mount[1] for mount in mounts("prometheus")]
    assert "/etc/prometheus/prometheus.yml" in inside
    assert all(f"/etc/prometheus/{name}" in inside for name in SCRAPED["rule_files"])
