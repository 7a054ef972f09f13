"""The chart, rendered by Helm's own library: once for each set of values, however many tests look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import yaml

from tests.deploy.processes import ROOT

helm = pytest.importorskip("helm_python")

CHART = ROOT / "helm" / "renderfarm"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
QUEUES = ("v3", "v4", "cpu", "fetch")
DIGEST = "sha256:" + "5" * 64
COMPONENT = "app.kubernetes.io/component"
#: All of KEDA, and all that the defaults leave out.
_EVERYTHING = {
    "api": {"autoscaling": {"enabled": True}, "trustedProxies": 2},
    "ingress": {"enabled": True, "tlsSecret": "farm-tls"},
    "flower": {"ingress": True, "prefix": "/tasks", "persistence": {"enabled": True, "storageClass": "fast"}},
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
    "keda": {"secret": {"name": "reader"}},
    "pools": {
        queue: {
            "autoscaling": {"enabled": True, "minReplicas": 0},
            "placeholders": 1,
            "runtimeClassName": "nvidia",
            "spread": ["topology.kubernetes.io/zone"],
            "weights": {"image": "weights:1"},
        }
        for queue in QUEUES
    },
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "notInternet": ["198.51.0.0/17", "2a00:1234::/32"],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 4318}]}],
    },
}
#: Values that switch on what the defaults leave out, or out what they have.
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    **{path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES},
    "everything": _EVERYTHING,
    "own identity for the bucket": {"secrets": {"s3": {"name": ""}}, "serviceAccount": {"name": "farm"}},
    "no extras": {
        "flower": {"enabled": False},
        "dispatcher": {"deletionCost": False},
        "networkPolicy": {"enabled": False},
    },
    "private registry": {
        "image": {"registry": "r.example.com/farm", "tag": "0.1.0-rc.1_"},
        "imagePullSecrets": [{"name": "pull"}],
    },
    "digests": {"images": {name: {"digest": DIGEST} for name in ("api", "workerCpu", "workerGpu")}},
    "settings": {
        "settings": {"FARM_MAX_SECONDS": "60", "FARM_LOG_LEVEL": "WARNING", "FARM_FETCH_PORTS": "443, 8443"}
    },
    "paused": {"pools": {"v3": {"replicas": 0}}, "dispatcher": {"replicas": 3}},
    "weights": {
        "pools": {"v3": {"weights": {"claim": "weights"}}, "v4": {"weights": {"image": "weights:2"}}}
    },
    "own store": {
        "storage": {
            "endpoint": "http://minio.storage.svc.cluster.local:9000",
            "publicEndpoint": "https://files.example.com",
        },
        "pools": {"v4": {"keepNode": False}},
        "networkPolicy": {"scrapers": []},
    },
    "its own CDN": {
        "cdn": {"base": "https://cdn.example.com", "server": {"enabled": True, "replicas": 3}},
        "secrets": {"cdn": {"name": "renderfarm-cdn"}},
        "ingress": {"enabled": True, "tlsSecret": "tls"},
        "storage": {"endpoint": "http://minio.storage.svc.cluster.local:9000", "url": "s3://renders"},
    },
    "links to a CDN": {
        "cdn": {
            "style": "cloudfront",
            "base": "https://d1.example.net",
            "keyId": "K2",
            "distribution": "E1",
            "purgeUrls": "http://a:8080,http://b:8080",
        },
        "secrets": {"cdn": {"name": "renderfarm-cdn"}},
    },
    "kept volume": {"flower": {"persistence": {"enabled": True, "existingClaim": "tasks"}}},
    "a name as long as can be": {"monitoring": {"enabled": True}},
}
RELEASES = {"a name as long as can be": "a" * 53, "everything": "renderfarm"}


@dataclass(frozen=True)
class Rendered:
    """The objects of one release."""

    objects: list[dict[str, Any]]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """By component, such as ``worker-v3``."""
        return {o["metadata"]["labels"][COMPONENT]: o for o in self.objects if o["kind"] == kind}

    def pods(self) -> dict[str, dict[str, Any]]:
        """The pod template of every component that has one."""
        return {
            name: o["spec"]["template"]
            for kind in ("Deployment", "StatefulSet", "Job")
            for name, o in self.of(kind).items()
        }

    def processes(self) -> set[str]:
        """The components that run a process of the farm, and are told its settings."""
        return {name for name in self.pods() if name != "cdn" and not name.startswith("spare-")}

    def container(self, component: str) -> dict[str, Any]:
        (container,) = self.pods()[component]["spec"]["containers"]
        assert isinstance(container, dict)
        return container

    def matched(self, selector: Mapping[str, Any]) -> set[str]:
        """The components whose pods a LabelSelector matches."""
        labels = {name: pod["metadata"]["labels"] for name, pod in self.pods().items()}
        return {name for name, has in labels.items() if _matches(selector, has)}


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    terms = selector.get("matchExpressions", [])
    assert {term["operator"] for term in terms} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(term["key"]) in term["values"] for term in terms
    )


def render(values: Mapping[str, Any], release: str = "demo") -> Rendered:
    """What Helm makes of the values; refuses as it does."""
    return _rendered(json.dumps(values), release)


@cache
def _rendered(values: str, release: str) -> Rendered:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(json.loads(values), name=release, namespace="prod")
    documents = [
        d
        for name, text in files.items()
        if name.endswith(".yaml")
        for d in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    ]
    return Rendered([document for document in documents if document])


def environment(container: Mapping[str, Any]) -> dict[str, str]:
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


def paths_of(values: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every value there is, groups included."""
    for name, value in values.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from paths_of(value, (*before, name))
