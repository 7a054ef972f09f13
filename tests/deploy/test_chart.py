"""The chart, rendered by Helm's own library, as objects: valid, and what an operator relies on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from renderfarm.settings import Settings
from tests.deploy.processes import COMMANDS, OWN, ROOT, SETTINGS

helm = pytest.importorskip("helm_python")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

CHART = ROOT / "helm" / "renderfarm"
#: The newest Kubernetes that the validator knows would change with its release; these do not.
KUBERNETES = ("1.27", "1.34")
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
#: Values that switch on what the defaults leave out, or out what they have.
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    **{path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES},
    "own identity for the bucket": {"secrets": {"s3": {"name": ""}}, "serviceAccount": {"name": "farm"}},
    "no flower": {"flower": {"enabled": False}},
    "private registry": {
        "image": {"repository": "r.example.com/farm"},
        "imagePullSecrets": [{"name": "pull"}],
    },
    "settings": {"settings": {"FARM_MAX_SECONDS": "60", "FARM_LOG_LEVEL": "WARNING"}},
    "paused": {"pools": {"v3": {"replicas": 0}}, "dispatcher": {"replicas": 3}},
}


@dataclass(frozen=True)
class Rendered:
    """The objects of one release."""

    objects: list[dict[str, Any]]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """By component, such as ``worker-v3``."""
        return {
            o["metadata"]["labels"]["app.kubernetes.io/component"]: o
            for o in self.objects
            if o["kind"] == kind
        }

    def pods(self) -> dict[str, dict[str, Any]]:
        """The pod template of every component that has one."""
        return {
            name: o["spec"]["template"] for kind in ("Deployment", "Job") for name, o in self.of(kind).items()
        }

    def container(self, component: str) -> dict[str, Any]:
        (container,) = self.pods()[component]["spec"]["containers"]
        assert isinstance(container, dict)
        return container


def render(values: dict[str, Any], release: str = "demo") -> Rendered:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name=release, namespace="prod")
    documents = [
        d for name, text in files.items() if name.endswith(".yaml") for d in yaml.safe_load_all(text)
    ]
    return Rendered([document for document in documents if document])


@pytest.fixture(scope="module", params=list(VARIANTS.values()), ids=list(VARIANTS))
def release(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


@pytest.fixture(scope="module")
def defaults() -> Rendered:
    return render({})


def test_helm_finds_nothing_to_complain_of() -> None:
    report = helm.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid(release: Rendered, version: str) -> None:
    assert len(release.objects) >= 8
    for found in release.objects:
        kubernetes_validate.validate(found, version, strict=True)


def test_names_are_unique_and_short_enough_whatever_the_release_is_called() -> None:
    for name in ("demo", "renderfarm", "a" * 53):
        objects = render({}, name).objects
        keys = [(o["kind"], o["metadata"]["name"]) for o in objects]
        assert len(set(keys)) == len(keys)
        assert all(len(key[1]) <= 63 for key in keys)
    assert "renderfarm-api" in {o["metadata"]["name"] for o in render({}, "renderfarm").objects}


def test_each_component_runs_its_command(defaults: Rendered) -> None:
    assert {name: tuple(defaults.container(name)["command"]) for name in defaults.pods()} == COMMANDS


def test_every_selector_matches_its_own_pods_and_no_others(release: Rendered) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in release.pods().items()}
    for kind in ("Deployment", "Service"):
        for name, found in release.of(kind).items():
            selector = found["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            matched = {pod for pod, has in labels.items() if selector.items() <= has.items()}
            assert matched == {name}


def test_a_service_leads_to_a_port_that_its_container_has(release: Rendered) -> None:
    for name, service in release.of("Service").items():
        ports = {port["name"] for port in release.container(name)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("queue", ["v3", "v4"])
def test_a_gpu_pool_has_its_own_nodes_one_gpu_a_pod_and_time_to_hand_over(
    defaults: Rendered, queue: str
) -> None:
    pod = defaults.pods()[f"worker-{queue}"]["spec"]
    container = defaults.container(f"worker-{queue}")
    assert container["command"] == ["python", "-m", "workers", "run", queue]
    assert container["livenessProbe"]["exec"]["command"] == ["python", "-m", "workers", "health", queue]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == {"renderfarm/pool": queue}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    drain = float(environment(container)["FARM_DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] == 600
    assert drain == 540


def test_the_cpu_pool_asks_for_no_gpu_and_no_special_node(defaults: Rendered) -> None:
    pod = defaults.pods()["worker-cpu"]["spec"]
    assert "nvidia.com/gpu" not in defaults.container("worker-cpu")["resources"]["limits"]
    assert "nodeSelector" not in pod
    assert "tolerations" not in pod


def test_the_cpu_example_asks_for_no_gpu_anywhere() -> None:
    rendered = render(VARIANTS["cpu-only"])
    assert "nvidia.com/gpu" not in json.dumps(rendered.objects)
    assert not [name for name, pod in rendered.pods().items() if "nodeSelector" in pod["spec"]]
    assert set(rendered.pods()) == set(COMMANDS)


def test_replicas_are_as_told() -> None:
    told = render({"pools": {"v3": {"replicas": 0}, "v4": {"replicas": 7}}, "api": {"replicas": 3}})
    replicas = {name: o["spec"]["replicas"] for name, o in told.of("Deployment").items()}
    assert replicas == {
        "api": 3,
        "dispatcher": 2,
        "courier": 2,
        "exporter": 1,
        "flower": 1,
        "worker-v3": 0,
        "worker-v4": 7,
        "worker-cpu": 2,
        "worker-fetch": 2,
    }


def test_every_pod_is_restricted(release: Rendered) -> None:
    for name, pod in release.pods().items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        container = release.container(name)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"], name
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts == {"tmp": "/tmp", "work": "/work"}
        assert {volume["name"] for volume in pod["spec"]["volumes"]} == set(mounts)


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's variables; what comes from a secret stands as ``secret:name/key``."""
    found: dict[str, str] = {}
    for entry in container["env"]:
        assert entry["name"] not in found, "set twice"
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        else:
            secret = entry["valueFrom"]["secretKeyRef"]
            found[entry["name"]] = f"secret:{secret['name']}/{secret['key']}"
    return found


def test_every_variable_is_a_setting_of_the_right_kind(release: Rendered) -> None:
    for name in release.pods():
        variables = environment(release.container(name))
        assert set(variables) <= SETTINGS | OWN
        settings = Settings.from_env(variables)
        assert settings.metrics_port == 9100
        assert settings.storage_url == "s3://renderfarm"


def test_passwords_come_by_reference_from_the_secrets_that_the_values_name(release: Rendered) -> None:
    assert not release.of("Secret")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = {f"secret:{secret['name']}" for secret in values["secrets"].values()}
    for name in release.pods():
        variables = environment(release.container(name))
        for variable in ("DATABASE_URL", "REDIS_URL"):
            assert variables[variable].startswith("secret:")
        referenced = {value.partition("/")[0] for value in variables.values() if value.startswith("secret:")}
        assert referenced <= known
        if name == "flower":
            assert variables["FLOWER_BASIC_AUTH"] == "secret:renderfarm-flower/basic-auth"


def test_without_a_secret_for_the_bucket_the_pods_own_identity_is_used() -> None:
    rendered = render(VARIANTS["own identity for the bucket"])
    for name, pod in rendered.pods().items():
        assert not [
            v for v in environment(rendered.container(name)) if v.startswith("FARM_S3_") and "KEY" in v
        ]
        assert pod["spec"]["serviceAccountName"] == "farm"


def test_the_migration_runs_before_everything_else_of_a_release(defaults: Rendered) -> None:
    job = defaults.of("Job")["migrate"]
    hooks = job["metadata"]["annotations"]
    assert set(hooks["helm.sh/hook"].split(",")) == {"pre-install", "pre-upgrade"}
    assert "before-hook-creation" in hooks["helm.sh/hook-delete-policy"]
    hooked = [o for o in defaults.objects if "helm.sh/hook" in o["metadata"].get("annotations", {})]
    assert hooked == [job], "a hook may need only what is there before the release: the secrets"


REFUSED = {
    "an unknown value": {"nonsense": 1},
    "an unknown pool": {"pools": {"v5": {"replicas": 1}}},
    "an unknown value of a pool": {"pools": {"v3": {"replica": 1}}},
    "a negative number of pods": {"pools": {"v3": {"replicas": -1}}},
    "two GPUs for one process": {"pools": {"v3": {"gpus": 2}}},
    "no secret for the database": {"secrets": {"database": {"name": ""}}},
    "a password where a secret's name belongs": {"secrets": {"database": {"password": "x"}}},
    "files on a disk that the pods do not share": {"storage": {"url": "file:///data"}},
    "a setting that is none": {"settings": {"MAX_SECONDS": "1"}},
    "a setting that the chart makes": {"settings": {"FARM_METRICS_PORT": "1"}},
    "a number where a variable needs a word": {"settings": {"FARM_MAX_SECONDS": 60}},
    "a public address with a slash at its end": {"publicUrl": "https://farm.example.com/"},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmValuesError):
        render(values)


def objects_of(schema: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a JSON schema that describes an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, value in schema.items():
            yield from objects_of(value, f"{path}/{key}")


def test_the_schema_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    is_open = {path for path, part in objects_of(schema) if part.get("additionalProperties") is not False}
    # What Helm hands down from a parent chart, and labels, whose names are the cluster's.
    assert is_open == {"/properties/global", "/definitions/pool/properties/nodeSelector"}


def test_the_notes_name_the_release() -> None:
    with helm.Chart.load(CHART) as chart:
        notes = chart.render({}, name="demo", namespace="prod")["renderfarm/templates/NOTES.txt"]
    assert "-n prod exec deploy/demo-renderfarm-api -- farm accounts create" in notes
