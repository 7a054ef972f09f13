"""The compose stack: valid, its services run what there is to run, and nothing is open that need not be."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, QueuePool

from api.app import _POOL
from renderfarm import stages
from renderfarm.db import Database
from renderfarm.settings import Settings
from tests.deploy.processes import COMMANDS, OWN, ROOT, SETTINGS, dry_run, interpolated

DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
EXAMPLE = (DEPLOY / ".env.example").read_text()
#: The variables that compose refuses to start without.
SECRETS = sorted(set(re.findall(r"\$\{(\w+):\?", TEXT)))
FILLED_IN = {name: f"{name.lower()}-of-this-machine" for name in SECRETS}
#: The chart's commands, and what is different or not there.
OURS = {
    **COMMANDS,
    "flower": (*COMMANDS["flower"], "--db", "/data/flower.db", "--url-prefix", "flower"),
    "bucket": ("farm", "bucket", "--reader", "cdn"),
    "worker-v3-gpu": COMMANDS["worker-v3"],
    "worker-v4-gpu": COMMANDS["worker-v4"],
}
#: They end, and so are never asked after.
ONCE = {"migrate", "bucket", "s3-accounts"}
#: A folder that `./secrets` makes.
MADE = "./alertmanager/secrets"
#: Images whose own user is not root.
MODEST = {
    "nginxinc/nginx-unprivileged",
    "prom/prometheus",
    "prom/alertmanager",
    "grafana/grafana",
    "renderfarm-api",
    "renderfarm-worker-cpu",
    "renderfarm-worker-gpu",
}


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The file as compose sees it: anchors merged, variables filled in."""
    loaded = yaml.safe_load(interpolated(TEXT, FILLED_IN))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = stack["services"]
    assert isinstance(found, dict)
    return found


def test_it_is_valid_by_the_compose_specification(stack: dict[str, Any]) -> None:
    package = find_spec("check_jsonschema")
    if package is None or package.origin is None:
        pytest.skip("check-jsonschema, which carries the specification's schema, is not installed")
    vendored = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(vendored.read_text()))
    for compose in (yaml.safe_load(TEXT), stack):
        errors = validator.iter_errors(compose)
        assert [(list(error.path), error.message) for error in errors] == []


def test_it_starts_every_process_of_the_farm(services: dict[str, dict[str, Any]]) -> None:
    ours = {name: tuple(body["command"]) for name, body in services.items() if "build" in body}
    assert ours == OURS


@pytest.mark.parametrize("name", [name for name in OURS if not name.endswith("-gpu")])
def test_the_program_takes_its_command_line_and_environment(
    services: dict[str, dict[str, Any]], name: str, tmp_path: Path
) -> None:
    environment: dict[str, str] = services[name]["environment"]
    assert set(environment) <= SETTINGS | OWN
    assert Settings.from_env(environment).metrics_port == 9100
    done = dry_run(services[name]["command"], environment, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_process_has_the_image_that_holds_what_it_needs(services: dict[str, dict[str, Any]]) -> None:
    for name, body in services.items():
        if "build" not in body:
            continue
        target = "api" if "worker" not in name else "worker-gpu" if name.endswith("-gpu") else "worker-cpu"
        assert body["build"]["target"] == target, name
        assert body["image"] == f"renderfarm-{target}:local", name
        assert body.get("platform") == (None if target == "api" else "linux/amd64"), name


def test_either_profile_has_a_worker_of_every_queue_and_gpu_workers_differ_in_nothing_but_the_gpu(
    services: dict[str, dict[str, Any]],
) -> None:
    for profile in ("cpu", "gpu"):
        running = [body for body in services.values() if profile in body.get("profiles", [profile])]
        commands = [body.get("command", []) for body in running]
        queues = [words[-1] for words in commands if words[:4] == ["python", "-m", "workers", "run"]]
        assert sorted(queues) == sorted(stages.ALL), profile
    for queue in stages.QUEUES.values():
        on_cpu, on_gpu = services[f"worker-{queue}"], services[f"worker-{queue}-gpu"]
        assert on_gpu["environment"] == on_cpu["environment"]
        assert on_gpu["networks"]["back"]["aliases"] == [f"worker-{queue}"], "Prometheus asks by that name"
        (device,) = on_gpu["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["device_ids"]) == ("nvidia", ["0"])
        assert "deploy" not in on_cpu
    assert re.search(r"^COMPOSE_PROFILES=cpu$", EXAMPLE, re.MULTILINE)


def test_everything_that_a_service_names_exists(stack: dict[str, Any]) -> None:
    volumes, services = set(stack["volumes"]), stack["services"]
    for name, body in services.items():
        assert set(body["networks"]) <= set(stack["networks"]), name
        for needed, how in body.get("depends_on", {}).items():
            assert needed in services, name
            done = how["condition"] == "service_completed_successfully"
            assert (needed in ONCE) == done, f"{name} waits for {needed}"
            assert "profiles" not in services[needed], needed
        for mount in body.get("volumes", []):
            source, colon, _ = mount.partition(":")
            if not colon:
                continue  # the container's own
            if source != MADE:
                assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes, mount


def test_every_service_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    for name, body in services.items():
        own = body.get("healthcheck", {})
        if name in ONCE:
            assert own == {"disable": True} and body["restart"] == "no", name
        elif name.startswith("worker"):
            assert own == {}, "its image has one"
        else:
            assert own["test"][0] in {"CMD", "CMD-SHELL"} and own["interval"] and own["timeout"], name


def test_no_service_can_write_to_its_image_gain_rights_or_fill_the_disk_with_logs(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, body in services.items():
        assert body["read_only"] is True, name
        assert body["cap_drop"] == ["ALL"] and "cap_add" not in body and "privileged" not in body, name
        assert body["security_opt"] == ["no-new-privileges:true"], name
        assert set(body["logging"]["options"]) == {"max-size", "max-file"}, name
        assert body["mem_limit"], name
        assert body["restart"] == ("no" if name in ONCE else "unless-stopped"), name


def test_no_service_but_the_store_runs_as_root(services: dict[str, dict[str, Any]]) -> None:
    as_root = set()
    for name, body in services.items():
        user = body.get("user", "")
        if user.startswith(("0", "root")) or (not user and body["image"].rpartition(":")[0] not in MODEST):
            as_root.add(name)
    assert as_root == {"s3"}
    assert "As root, since" in TEXT


def test_only_nginx_is_published_and_to_this_machine_alone_unless_it_is_told(
    services: dict[str, dict[str, Any]],
) -> None:
    published = {name: body["ports"] for name, body in services.items() if "ports" in body}
    assert published == {
        "front": ["127.0.0.1:8080:8080", "127.0.0.1:8081:8001"],
        "cdn": ["127.0.0.1:8082:8080"],
    }
    assert {services[name]["image"].partition(":")[0] for name in published} == {
        "nginxinc/nginx-unprivileged"
    }


def test_who_need_not_reach_the_internet_cannot(stack: dict[str, Any]) -> None:
    members: dict[str, set[str]] = {name: set() for name in stack["networks"]}
    for name, body in stack["services"].items():
        for network in body["networks"]:
            members[network].add(name)
    assert members["back"] == set(stack["services"])
    assert members["front"] == {"front", "cdn"}
    assert members["out"] == {"worker-fetch", "courier", "alertmanager"}
    assert stack["networks"]["back"] == {"internal": True}
    options = stack["networks"]["front"]["driver_opts"]
    assert options == {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def test_prometheus_scrapes_services_that_show_metrics(services: dict[str, dict[str, Any]]) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = set()
    for job in config["scrape_configs"]:
        targets |= {t.partition(":")[::2] for s in job.get("static_configs", []) for t in s["targets"]}
        targets |= {(n, str(s["port"])) for s in job.get("dns_sd_configs", []) for n in s["names"]}
    ours = {name: port for name, port in targets if name in OURS}
    workers = {f"worker-{queue}" for queue in stages.ALL}
    assert set(ours) == {"exporter", "api", "dispatcher", "courier", *workers}
    assert {name for name, _ in targets} <= set(services) | {"localhost"}
    for name, port in ours.items():
        environment = services[name]["environment"]
        assert (environment["FARM_METRICS_HOST"], environment["FARM_METRICS_PORT"]) == ("0.0.0.0", port)


def test_postgresql_allows_what_all_processes_may_take(services: dict[str, dict[str, Any]]) -> None:
    page = (DEPLOY / "sizing.md").read_text().partition("### Connections to PostgreSQL")[2]
    most = {name: int(count) for name, count in re.findall(r"^\| (\w+)[^|]*\| (\d+) \|", page, re.MULTILINE)}
    kinds = [name.partition("-")[0] for name in services if not name.endswith("-gpu")]
    processes = [*filter(most.__contains__, kinds), "API"]
    api = Database("postgresql://nobody@127.0.0.1/none", _POOL)
    assert most["API"] == sum(_most_of(e) for e in (api.engine, api._readers, api._writers))
    more = Settings.from_env(services["api"]["environment"]).api_processes - 1
    taken = sum(most[name] for name in processes) + most["API"] * more
    (setting,) = re.findall(r"max_connections=(\d+)", str(services["postgres"]["command"]))
    assert f" = {taken}," in page and int(setting) - 3 > 1.2 * taken


def _most_of(engine: Engine) -> int:
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    return pool.size() + pool._max_overflow


def test_grafana_finds_the_dashboards_where_it_is_told_to_look(services: dict[str, dict[str, Any]]) -> None:
    told = DEPLOY / "grafana" / "provisioning" / "dashboards" / "renderfarm.yaml"
    (provider,) = yaml.safe_load(told.read_text())["providers"]
    mounted = {
        target: source for source, target, *_ in (m.split(":") for m in services["grafana"]["volumes"])
    }
    assert list((DEPLOY / mounted[provider["options"]["path"]]).glob("*.json"))


def test_flower_keeps_what_it_saw_where_its_user_may_write(services: dict[str, dict[str, Any]]) -> None:
    file = Path(services["flower"]["command"][services["flower"]["command"].index("--db") + 1])
    assert f"flower:{file.parent}" in services["flower"]["volumes"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    made = re.search(r"install --directory --owner farm --group farm (.*)", dockerfile)
    assert made is not None and str(file.parent) in made[1].split()


def test_postgresql_knows_every_process_by_its_name(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS.keys() - {"flower", "bucket"}:
        assert services[name]["environment"]["PGAPPNAME"] == name.removesuffix("-gpu")


def test_redis_keeps_what_it_is_given(services: dict[str, dict[str, Any]]) -> None:
    words = shlex.split(services["redis"]["command"][0].splitlines()[0])
    assert words[:3] == ["exec", "redis-server", "-"]
    options = dict(zip(words[3:-1:2], words[4:-1:2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def test_nobody_is_killed_who_would_still_finish(services: dict[str, dict[str, Any]]) -> None:
    for name, body in services.items():
        if name.startswith("worker"):
            drain = float(body["environment"]["FARM_DRAIN_SECONDS"])
            assert seconds(body["stop_grace_period"]) > drain + 5, name
    assert seconds(services["api"]["stop_grace_period"]) > 30, "gunicorn's graceful_timeout"
    webhook = Settings(database_url="").webhook_timeout_seconds
    assert seconds(services["courier"]["stop_grace_period"]) > webhook


def test_what_two_services_have_to_agree_on_is_the_same(services: dict[str, dict[str, Any]]) -> None:
    farm, cdn = services["api"]["environment"], services["cdn"]["environment"]
    assert farm["FARM_STORAGE_URL"] == f"s3://{cdn['CDN_BUCKET']}"
    assert farm["FARM_S3_ENDPOINT"] == cdn["CDN_ORIGIN"]
    for name in ("front", "cdn"):
        assert services[name]["environment"]["NGINX_ENTRYPOINT_LOCAL_RESOLVERS"] == "1", name
    front = services["front"]["environment"]
    assert front["STORE_ORIGIN"] == farm["FARM_S3_ENDPOINT"]
    assert farm["FARM_STORAGE_URL"] == f"s3://{front['STORE_BUCKET']}"
    assert farm["FARM_S3_PUBLIC_ENDPOINT"] == farm["FARM_PUBLIC_URL"], "parts of uploads pass nginx"
    assert farm["FARM_CDN_STYLE"] == cdn["CDN_STYLE"]
    assert farm["FARM_CDN_SECRET"] == cdn["CDN_LINK_SECRET"]
    assert farm["FARM_CDN_PURGE_SECRET"] == cdn["CDN_PURGE_SECRET"]
    store, accounts = services["s3"]["environment"], services["s3-accounts"]
    assert store["ROOT_ACCESS_KEY"] == farm["FARM_S3_ACCESS_KEY"]
    assert store["ROOT_SECRET_KEY"] == farm["FARM_S3_SECRET_KEY"]
    assert accounts["environment"]["CDN_SECRET_KEY"] == cdn["CDN_SECRET_KEY"]
    megabytes = 2 * Settings(database_url="").max_upload_mb
    assert int(services["front"]["environment"]["API_MAX_BODY_MB"]) > megabytes
    reader = cdn["CDN_ACCESS_KEY"]
    assert services["bucket"]["command"][-1] == reader
    assert f"--access {reader} " in accounts["command"][0]


def test_secrets_are_nowhere_but_in_the_environment() -> None:
    for name, body in yaml.safe_load(TEXT)["services"].items():
        for variable, value in body.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|AUTH$|_URL$", variable) and variable != "FARM_PUBLIC_URL":
                secret = re.search(r"\$\{(\w+):\?", str(value))
                assert secret or ("@" not in value and "://" in value), (name, variable)
        assert not re.search(r"\$\{\w+:\?", str(body.get("command", ""))), f"{name}: all can read it"


def test_it_refuses_to_start_without_each_secret_and_the_example_names_every_variable() -> None:
    for name in SECRETS:
        with pytest.raises(KeyError, match=name):
            interpolated(TEXT, {other: value for other, value in FILLED_IN.items() if other != name})
    told = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", TEXT)) | {"COMPOSE_PROFILES"} == told
    assert sorted(re.findall(r"^([A-Z0-9_]+)=$", EXAMPLE, re.MULTILINE)) == SECRETS


def test_secrets_are_made_once_each_its_own_and_for_nobody_else(tmp_path: Path) -> None:
    for name in ("secrets", ".env.example"):
        shutil.copy(DEPLOY / name, tmp_path)
    done = subprocess.run([tmp_path / "secrets"], check=True, timeout=10, capture_output=True, text=True)
    assert "NOBODY IS TOLD OF ALERTS (pager)" in done.stderr and "watchdog-url" in done.stderr
    made = tmp_path / ".env"
    variables = dict(re.findall(r"^(\w+)=(.*)$", made.read_text(), re.MULTILINE))
    secrets = [variables[name] for name in SECRETS]
    assert len(set(secrets)) == len(secrets) and all(re.fullmatch("[0-9a-f]{48}", s) for s in secrets)
    assert interpolated(TEXT, variables) and made.stat().st_mode & 0o077 == 0
    assert (tmp_path / MADE).is_dir()
    (tmp_path / MADE / "pager-url").write_text("https://pager.example.com/x")
    again = subprocess.run([tmp_path / "secrets"], check=False, timeout=10, capture_output=True)
    assert b"(pager)" not in again.stderr and b"(tickets)" in again.stderr
    assert again.returncode == 1 and secrets[0] in made.read_text()


def test_no_image_floats(services: dict[str, dict[str, Any]]) -> None:
    for name, body in services.items():
        if "build" not in body:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", body["image"]), name


def test_the_operators_page_leads_to_pages_that_are_there_and_scripts_that_run() -> None:
    page = (DEPLOY / "README.md").read_text()
    for target in re.findall(r"\]\(([^):]+)\)", page):
        assert (DEPLOY / target).exists(), target
    for name in re.findall(r"^\./(\w+)", page, re.MULTILINE):
        assert os.access(DEPLOY / name, os.X_OK), name
