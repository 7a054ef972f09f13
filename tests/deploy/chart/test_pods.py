"""The pods: what they run, what they are told, what they may, and who finds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from renderfarm.settings import Settings
from tests.deploy.chart.rendered import (
    CHART,
    COMPONENT,
    DIGEST,
    QUEUES,
    VARIANTS,
    Rendered,
    environment,
    render,
)
from tests.deploy.processes import COMMANDS, OWN, SETTINGS, dry_run

#: What those are told that give out links, or take them back: secrets, some of it, which no other has.
LINKS = {
    f"FARM_CDN_{name}"
    for name in (
        "STYLE",
        "BASE",
        "KEY_ID",
        "DISTRIBUTION",
        "PURGE_URLS",
        "SECRET",
        "PRIVATE_KEY",
        "PURGE_SECRET",
    )
}
API = {"api", "dispatcher", "courier", "exporter", "migrate", "flower"}


def test_each_component_runs_its_command_under_the_images_entrypoint(defaults: Rendered) -> None:
    assert not [name for name in defaults.pods() if "command" in defaults.container(name)]
    assert set(defaults.pods()) == set(COMMANDS)
    for name in COMMANDS.keys() - {"flower"}:
        assert tuple(defaults.container(name)["args"]) == COMMANDS[name]


def test_flower_keeps_what_it_saw_and_lies_below_its_path(defaults: Rendered, tmp_path: Path) -> None:
    container = defaults.container("flower")
    options = dict(zip(container["args"][4::2], container["args"][5::2], strict=True))
    assert options == {
        "--address": "0.0.0.0",
        "--port": "5555",
        "--db": "/tasks/flower.db",
        "--url-prefix": "flower",
    }
    assert {"name": "tasks", "mountPath": "/tasks"} in container["volumeMounts"]
    assert environment(container)["FLOWER_BASIC_AUTH"] == "secret:renderfarm-flower/basic-auth"
    done = dry_run(container["args"], {"DATABASE_URL": "postgresql://nowhere/none"}, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_flowers_file_is_in_a_volume_that_one_pod_opens_at_a_time() -> None:
    release = render(VARIANTS["everything"])
    (claim,) = release.of("PersistentVolumeClaim").values()
    volumes = {v["name"]: v for v in release.pods()["flower"]["spec"]["volumes"]}
    assert volumes["tasks"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert release.of("Deployment")["flower"]["spec"]["strategy"]["type"] == "Recreate"
    kept = render(VARIANTS["kept volume"])
    assert not kept.of("PersistentVolumeClaim")
    assert {"claimName": "tasks"} in [
        v.get("persistentVolumeClaim") for v in kept.pods()["flower"]["spec"]["volumes"]
    ]


def test_every_selector_matches_its_own_pods_and_no_others(release: Rendered) -> None:
    for kind in ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget"):
        for name, found in release.of(kind).items():
            selector = found["spec"]["selector"]
            matched = release.matched(selector if kind != "Service" else {"matchLabels": selector})
            assert matched == {name.removesuffix("-pods")}
    for name, pod in release.pods().items():
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            assert release.matched(spread["labelSelector"]) == {name}


def test_what_a_release_labels_is_found_by_it(release: Rendered) -> None:
    (instance,) = {o["metadata"]["labels"]["app.kubernetes.io/instance"] for o in release.objects}
    for name, pod in release.pods().items():
        labels = pod["metadata"]["labels"]
        assert (labels["app.kubernetes.io/instance"], labels[COMPONENT]) == (instance, name)
        assert len(labels["app.kubernetes.io/version"]) <= 63


def test_ports_that_others_name_are_those_of_the_containers(release: Rendered) -> None:
    ports = {
        name: {p["name"]: p["containerPort"] for p in release.container(name).get("ports", [])}
        for name in release.pods()
    }
    for name, service in release.of("Service").items():
        leads_to = ports[name.removesuffix("-pods")]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(leads_to)
    for name in release.pods():
        container = release.container(name)
        told = environment(container).get("FARM_METRICS_PORT") if name in release.processes() else None
        assert str(ports[name].get("metrics", told)) == str(told)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            how = container.get(probe, {})
            assert (how.get("httpGet") or how.get("tcpSocket") or {"port": "http"})["port"] in ports[
                name
            ] or ("exec" in how or not how)
    api = environment(release.container("api"))
    assert api["FARM_API_BIND"] == f"0.0.0.0:{ports['api']['http']}"


def test_the_budget_of_every_component_with_more_pods_than_one(release: Rendered) -> None:
    several = {*("api", "dispatcher", "courier"), *(f"worker-{queue}" for queue in QUEUES)}
    assert set(release.of("PodDisruptionBudget")) == several | release.of("StatefulSet").keys()


def test_every_pod_is_restricted(release: Rendered) -> None:
    for name, pod in release.pods().items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert min(security["runAsUser"], security["runAsGroup"]) > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
        kinds = {kind for v in pod["spec"].get("volumes", []) for kind in v if kind != "name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "configMap"}
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"], name
            assert not [port for port in container.get("ports", []) if "hostPort" in port]
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            there = {volume["name"] for volume in pod["spec"].get("volumes", [])}
            assert mounted <= there | ({"cache"} if name == "cdn" else set())


def test_no_pod_but_the_dispatchers_is_given_a_token_and_only_where_it_needs_one(release: Rendered) -> None:
    given = {n for n, pod in release.pods().items() if pod["spec"]["automountServiceAccountToken"]}
    accounts, roles = release.of("ServiceAccount"), release.of("Role")
    assert given == set(accounts) == set(roles) == set(release.of("RoleBinding")) <= {"dispatcher"}
    for name in given:
        assert release.pods()[name]["spec"]["serviceAccountName"] == accounts[name]["metadata"]["name"]
        assert roles[name]["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]}
        ]
        binding = release.of("RoleBinding")[name]
        assert binding["roleRef"]["name"] == roles[name]["metadata"]["name"]
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (accounts[name]["metadata"]["name"], "prod")


def test_the_dispatcher_is_told_which_pods_are_workers(release: Rendered) -> None:
    told = environment(release.container("dispatcher")).get("FARM_KUBERNETES_PODS")
    assert (told is None) == (not release.of("Role"))
    if told is None:
        return
    (instance,) = {o["metadata"]["labels"]["app.kubernetes.io/instance"] for o in release.objects}
    name, of, exists = told.split(",")
    assert (name, of) == ("app.kubernetes.io/name=renderfarm", f"app.kubernetes.io/instance={instance}")
    found = {name for name, pod in release.pods().items() if exists in pod["metadata"]["labels"]}
    assert found == {f"worker-{queue}" for queue in QUEUES}


def test_every_variable_is_a_setting_of_the_right_kind(release: Rendered) -> None:
    for name in release.processes():
        variables = environment(release.container(name))
        assert set(variables) <= SETTINGS | OWN
        assert variables["PGAPPNAME"] == name
        settings = Settings.from_env(variables)
        assert settings.metrics_port == 9100
        assert settings.storage_url.startswith("s3://")
        assert settings.public_url.startswith("http")


def test_passwords_come_by_reference_from_the_secrets_that_the_values_name(release: Rendered) -> None:
    assert not release.of("Secret")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = {f"secret:{secret['name']}" for secret in values["secrets"].values()} | {"secret:renderfarm-cdn"}
    for name in release.processes():
        variables = environment(release.container(name))
        for variable in ("DATABASE_URL", "REDIS_URL"):
            assert variables[variable].startswith("secret:")
        referenced = {value.partition("/")[0] for value in variables.values() if value.startswith("secret:")}
        assert referenced <= known


def test_only_who_gives_out_links_knows_what_they_are_signed_with(release: Rendered) -> None:
    for name in release.processes():
        told = LINKS & environment(release.container(name)).keys()
        assert (told >= {"FARM_CDN_BASE"}) == bool(told) == (name in {"api", "dispatcher", "courier"}), name


def test_parts_of_uploads_are_signed_for_the_store_as_people_reach_it(defaults: Rendered) -> None:
    told = environment(render(VARIANTS["own store"]).container("api"))
    assert told["FARM_S3_PUBLIC_ENDPOINT"] == "https://files.example.com"
    assert "FARM_S3_PUBLIC_ENDPOINT" not in environment(defaults.container("api"))


def test_a_cdn_is_told_whole() -> None:
    variables = environment(render(VARIANTS["links to a CDN"]).container("api"))
    assert {name: variables[name] for name in LINKS} == {
        "FARM_CDN_STYLE": "cloudfront",
        "FARM_CDN_BASE": "https://d1.example.net",
        "FARM_CDN_KEY_ID": "K2",
        "FARM_CDN_DISTRIBUTION": "E1",
        "FARM_CDN_PURGE_URLS": "http://a:8080,http://b:8080",
        "FARM_CDN_SECRET": "secret:renderfarm-cdn/secret",
        "FARM_CDN_PRIVATE_KEY": "secret:renderfarm-cdn/private-key",
        "FARM_CDN_PURGE_SECRET": "secret:renderfarm-cdn/purge-secret",
    }


def test_the_readme_makes_every_secret_that_the_values_name() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = (CHART / "README.md").read_text()
    for secret in values["secrets"].values():
        if secret["name"]:
            assert f"create secret generic {secret['name']} " in readme
            for key in secret.keys() - {"name"}:
                assert f"--from-literal={secret[key]}=" in readme


def test_without_a_secret_for_the_bucket_the_pods_own_identity_is_used() -> None:
    rendered = render(VARIANTS["own identity for the bucket"])
    for name, pod in rendered.pods().items():
        assert not [
            v for v in environment(rendered.container(name)) if v.startswith("FARM_S3_") and "KEY" in v
        ]
        own = "demo-renderfarm-dispatcher" if name == "dispatcher" else "farm"
        assert pod["spec"]["serviceAccountName"] == own


def test_of_three_images_each_component_has_the_one_that_it_needs(release: Rendered) -> None:
    for name in release.pods().keys() - {"cdn"}:
        container = release.container(name)
        needs_gpu = any("nvidia.com" in key for key in container["resources"]["limits"])
        image = "api" if name in API else "worker-gpu" if needs_gpu else "worker-cpu"
        assert (
            f"renderfarm-{image}" == container["image"].rpartition("/")[2].partition(":")[0].partition("@")[0]
        )


def test_images_by_registry_tag_and_digest() -> None:
    private = render(VARIANTS["private registry"])
    assert private.container("worker-v4")["image"] == "r.example.com/farm/renderfarm-worker-gpu:0.1.0-rc.1_"
    assert private.pods()["api"]["metadata"]["labels"]["app.kubernetes.io/version"] == "0.1.0-rc.1"
    assert private.pods()["migrate"]["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert render(VARIANTS["digests"]).container("api")["image"] == f"renderfarm-api@{DIGEST}"
    assert render({}).container("api")["image"] == "renderfarm-api:0.1.0"


def test_the_migration_runs_before_everything_else_and_needs_nothing_of_the_release(
    release: Rendered,
) -> None:
    job = release.of("Job")["migrate"]
    hooks = job["metadata"]["annotations"]
    assert set(hooks["helm.sh/hook"].split(",")) == {"pre-install", "pre-upgrade"}
    assert "before-hook-creation" in hooks["helm.sh/hook-delete-policy"]
    hooked = [o for o in release.objects if "helm.sh/hook" in o["metadata"].get("annotations", {})]
    assert hooked == [job]
    made = {
        o["metadata"]["name"]
        for o in release.objects
        if o["kind"] in {"ServiceAccount", "PersistentVolumeClaim"}
    }
    assert not [name for name in made if json.dumps(name) in json.dumps(job["spec"])]


def test_the_ingress_leads_to_the_api_and_below_its_path_to_flower() -> None:
    release = render(VARIANTS["everything"])
    (ingress,) = release.of("Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    ways = {p["path"]: p["backend"]["service"]["name"] for p in rule["http"]["paths"]}
    services = {name: s["metadata"]["name"] for name, s in release.of("Service").items()}
    assert ways == {"/tasks": services["flower"], "/tasks/metrics": services["api"], "/": services["api"]}
    kinds = {p["path"]: p["pathType"] for p in rule["http"]["paths"]}
    assert kinds["/tasks/metrics"] == "Exact", "Flower shows that page to anybody"
    assert release.container("flower")["args"][-1] == "tasks"
    assert rule["host"] == "renderfarm.example.com"
    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "farm-tls"}]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"


@pytest.mark.parametrize(
    ("ingress", "told", "proxies"), [(False, 0, "0"), (True, 0, "1"), (True, 2, "2"), (False, 1, "1")]
)
def test_an_ingress_is_a_proxy_that_is_believed(ingress: bool, told: int, proxies: str) -> None:
    values = {"ingress": {"enabled": ingress, "host": "a.example.com"}, "api": {"trustedProxies": told}}
    release = render(values)
    assert environment(release.container("api"))["FARM_TRUSTED_PROXIES"] == proxies
    assert [i["spec"]["rules"][0]["host"] for i in release.of("Ingress").values()] == [
        "a.example.com"
    ] * ingress
