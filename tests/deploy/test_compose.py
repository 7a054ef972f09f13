"""The compose file: valid by its specification, and true about the processes it starts."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from renderfarm.settings import Settings
from tests.deploy.processes import COMMANDS, OWN, ROOT, SETTINGS, dry_run, interpolated

DEPLOY = ROOT / "deploy"
FILLED_IN = {"POSTGRES_PASSWORD": "secret", "FLOWER_BASIC_AUTH": "operator:secret"}


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The file as compose sees it: anchors merged, variables filled in."""
    loaded = yaml.safe_load(interpolated((DEPLOY / "compose.yaml").read_text(), FILLED_IN))
    assert isinstance(loaded, dict)
    return loaded


def test_it_is_valid_by_the_compose_specification() -> None:
    package = find_spec("check_jsonschema")
    if package is None or package.origin is None:
        pytest.skip("check-jsonschema, which carries the specification's schema, is not installed")
    vendored = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    jsonschema = pytest.importorskip("jsonschema")
    errors = jsonschema.Draft202012Validator(json.loads(vendored.read_text())).iter_errors(compose)
    assert [(list(error.path), error.message) for error in errors] == []


def test_it_starts_every_process_of_the_farm(stack: dict[str, Any]) -> None:
    ours = {name: tuple(body["command"]) for name, body in stack["services"].items() if "build" in body}
    assert ours == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_program_takes_its_command_line_and_environment(
    stack: dict[str, Any], name: str, tmp_path: Path
) -> None:
    service = stack["services"][name]
    environment: dict[str, str] = service["environment"]
    assert set(environment) <= SETTINGS | OWN
    assert Settings.from_env(environment).metrics_port == 9100
    done = dry_run(service["command"], environment, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workers_health_checks_are_commands_of_theirs(stack: dict[str, Any], tmp_path: Path) -> None:
    for queue in ("v3", "v4", "cpu", "fetch"):
        service = stack["services"][f"worker-{queue}"]
        kind, *command = service["healthcheck"]["test"]
        assert (kind, command[-1]) == ("CMD", queue)
        done = dry_run(command, service["environment"], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_a_service_names_exists(stack: dict[str, Any]) -> None:
    volumes, services = set(stack["volumes"]), stack["services"]
    for name, body in services.items():
        for needed, how in body.get("depends_on", {}).items():
            assert needed in services, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], needed
        for mount in body.get("volumes", []):
            source, colon, _ = mount.partition(":")
            if not colon:
                continue  # the container's own
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes, mount


def test_prometheus_scrapes_services_that_show_metrics(stack: dict[str, Any]) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = set()
    for job in config["scrape_configs"]:
        targets |= {t.partition(":")[::2] for s in job.get("static_configs", []) for t in s["targets"]}
        targets |= {(n, str(s["port"])) for s in job.get("dns_sd_configs", []) for n in s["names"]}
    workers = {"worker-v3", "worker-v4", "worker-cpu", "worker-fetch"}
    assert {name for name, _ in targets} == {"exporter", "api", "dispatcher", "courier", *workers}
    for name, port in targets:
        environment = stack["services"][name]["environment"]
        assert (environment["FARM_METRICS_HOST"], environment["FARM_METRICS_PORT"]) == ("0.0.0.0", port)


def test_only_the_api_is_published_beyond_this_machine(stack: dict[str, Any]) -> None:
    published = {name: body["ports"] for name, body in stack["services"].items() if "ports" in body}
    assert published == {
        "api": ["0.0.0.0:8080:8080"],
        "flower": ["127.0.0.1:5555:5555"],
        "prometheus": ["127.0.0.1:9090:9090"],
    }


def test_redis_keeps_what_it_is_given(stack: dict[str, Any]) -> None:
    words = stack["services"]["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_it_refuses_to_start_without_the_passwords_and_the_example_names_every_variable() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name in FILLED_IN:
        with pytest.raises(KeyError, match=name):
            interpolated(text, {other: value for other, value in FILLED_IN.items() if other != name})
    example = (DEPLOY / ".env.example").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))


def test_no_image_floats() -> None:
    stack = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, body in stack["services"].items():
        if "build" not in body:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", body["image"]), name
