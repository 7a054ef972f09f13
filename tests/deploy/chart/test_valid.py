"""What the chart makes is valid by the schemas of those who read it, whatever values it is given."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart.rendered import (
    CHART,
    DIGEST,
    RELEASES,
    VARIANTS,
    Rendered,
    helm,
    paths_of,
    render,
)
from tests.deploy.processes import ROOT

kubernetes_validate = pytest.importorskip("kubernetes_validate")
jsonschema = pytest.importorskip("jsonschema")

#: The newest Kubernetes that the validator knows would change with its release; these do not.
OLDEST, NEWEST = "1.27", "1.34"
#: Beside the checkout, where there is such a folder: the definitions of custom resources.
SCHEMAS = ROOT.parent / "shared" / "schemas"
CUSTOM = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}


@pytest.fixture(autouse=True, scope="module")
def schemas_are_read_once() -> Iterator[None]:
    """The validator reads a megabyte for each object."""
    with pytest.MonkeyPatch.context() as patch:
        utils = kubernetes_validate.utils
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


def everything() -> dict[str, dict[str, Any]]:
    """Each object that any set of values makes, once."""
    releases = [render(values, RELEASES.get(name, "demo")) for name, values in VARIANTS.items()]
    return {json.dumps(o, sort_keys=True): o for release in releases for o in release.objects}


def of_the_core(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for found in objects if found["apiVersion"] not in CUSTOM]


def test_helm_finds_nothing_to_complain_of() -> None:
    report = helm.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > 1] == []


def test_every_object_is_valid() -> None:
    objects = of_the_core(list(everything().values()))
    assert len({found["kind"] for found in objects}) >= 12
    for found in objects:
        kubernetes_validate.validate(found, NEWEST, strict=True)
    for found in of_the_core(render(VARIANTS["everything"], "renderfarm").objects):
        kubernetes_validate.validate(found, OLDEST, strict=True)


def closed(schema: Any) -> Any:
    """A cluster drops what its schema does not know; here it is an error."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@cache
def definition(kind: str, version: str) -> Any:
    (path,) = SCHEMAS.glob(f"*_{kind.lower()}s.yaml")
    versions = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]["versions"]
    (schema,) = (v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == version)
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return jsonschema.Draft7Validator(closed(schema))


def test_every_custom_object_is_valid_by_its_definition() -> None:
    if not SCHEMAS.is_dir():
        pytest.skip("the definitions of custom resources are not beside this checkout")
    objects = [found for found in everything().values() if found["apiVersion"] in CUSTOM]
    kinds = {found["kind"] for found in objects}
    assert kinds == {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
    for found in objects:
        judge = definition(found["kind"], found["apiVersion"].partition("/")[2])
        assert [error.message for error in judge.iter_errors(found)] == [], found["metadata"]["name"]
    broken = copy.deepcopy(next(found for found in objects if found["kind"] == "ScaledObject"))
    broken["spec"]["minReplicas"] = 1
    assert list(definition("ScaledObject", "v1alpha1").iter_errors(broken)), "what nobody knows is found"


@pytest.mark.parametrize(
    "name", ["demo", "renderfarm", "a" * 53, "my-renderfarm-of-the-northern-studio-in-production-1"]
)
def test_names_are_unique_and_short_enough_whatever_the_release_is_called(name: str) -> None:
    objects = render(VARIANTS["everything"], name).objects
    keys = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(set(keys)) == len(keys)
    assert all(len(key[1]) <= 63 for key in keys if key[0] != "PriorityClass")


def test_words_that_yaml_takes_for_numbers_stay_words() -> None:
    values = {
        "secrets": {name: {"name": "0123", "key": "1e3"} for name in ("database", "redis", "flower")},
        "serviceAccount": {"name": "42"},
        "ingress": {"enabled": True, "className": "1", "host": "10", "tlsSecret": "2"},
        "flower": {"persistence": {"enabled": True, "storageClass": "7"}, "prefix": "/8"},
        "pools": {
            "v3": {"weights": {"claim": "9"}, "runtimeClassName": "10", "autoscaling": {"enabled": True}}
        },
    }
    for found in of_the_core(render(values, "123").objects):
        kubernetes_validate.validate(found, NEWEST, strict=True)
    (auth,) = render(values, "123").of("TriggerAuthentication").values()
    assert auth["spec"]["secretTargetRef"] == [{"parameter": "connection", "name": "0123", "key": "1e3"}]


def test_two_releases_in_a_namespace_have_nothing_in_common() -> None:
    one, other = (render(VARIANTS["everything"], name) for name in ("farm", "farm-b"))
    names = [{(o["kind"], o["metadata"]["name"]) for o in release.objects} for release in (one, other)]
    assert names[0].isdisjoint(names[1])
    both = Rendered([*one.objects])
    for found in other.objects:
        if found["kind"] in {"PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}:
            spec = found["spec"]
            assert both.matched(spec.get("podSelector") or spec["selector"]) == set()


REFUSED: dict[str, dict[str, Any]] = {
    "an unknown value": {"nonsense": 1},
    "the one image of before": {"image": {"repository": "renderfarm"}},
    "a digest where a tag belongs": {"image": {"tag": DIGEST}},
    "half a digest": {"images": {"api": {"digest": "sha256:55"}}},
    "an unknown pool": {"pools": {"v5": {"replicas": 1}}},
    "an unknown value of a pool": {"pools": {"v3": {"replica": 1}}},
    "a negative number of pods": {"pools": {"v3": {"replicas": -1}}},
    "two GPUs for one process": {"pools": {"v3": {"gpus": 2}}},
    "a pool that no upgrade may touch": {"pools": {"v3": {"maxUnavailable": 0}}},
    "no secret for the database": {"secrets": {"database": {"name": ""}}},
    "a password where a secret's name belongs": {"secrets": {"database": {"password": "x"}}},
    "files on a disk that the pods do not share": {"storage": {"url": "file:///data"}},
    "a public store with a path": {"storage": {"publicEndpoint": "https://farm.example.com/store"}},
    "a store whose address has no scheme": {"storage": {"endpoint": "minio:9000"}},
    "a setting that is none": {"settings": {"MAX_SECONDS": "1"}},
    "a setting that the chart makes": {"settings": {"FARM_METRICS_PORT": "1"}},
    "a number where a variable needs a word": {"settings": {"FARM_MAX_SECONDS": 60}},
    "a public address with a slash at its end": {"publicUrl": "https://farm.example.com/"},
    "a port that only root may have": {"api": {"port": 80}},
    "no address, which would stand for all": {"networkPolicy": {"database": {"cidrs": []}}},
    "nobody to ask for names, which would stand for all": {"networkPolicy": {"dns": []}},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmValuesError):
        render(values)


def without(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    left = copy.deepcopy(values)
    group = left
    for name in path[:-1]:
        group = group[name]
    del group[path[-1]]
    return left


def test_a_value_that_is_taken_away_is_refused_or_left_to_the_cluster() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    judge = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
    assert judge.is_valid(values)
    taken = [path for path in paths_of(values) if judge.is_valid(without(values, path))]
    # Labels of nodes, annotations, amounts of a resource: maps that the values only begin.
    maps = {"nodeSelector", "annotations", "settings", "requests", "limits", "dashboardLabels"}
    assert {path[-2] for path in taken} == maps
    for path in taken:
        if path[0] == "pools" and path[1] != "v3":
            continue  # they are all alike
        nothing: Any = None
        for name in reversed(path):
            nothing = {name: nothing}
        assert render(nothing).pods().keys() == render({}).pods().keys(), path
    with pytest.raises(helm.HelmValuesError):
        render({"flower": None})


def objects_of(schema: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a JSON schema that describes an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, value in schema.items():
            yield from objects_of(value, f"{path}/{key}")


def test_the_schema_is_closed_and_each_of_its_values_has_a_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    parts = dict(objects_of(schema))
    is_open = {path for path, part in parts.items() if part.get("additionalProperties") is not False}
    # What Helm hands down from a parent chart, and labels, whose names are the cluster's.
    assert is_open == {
        "/properties/global",
        "/definitions/annotations",
        "/definitions/labels",
        "/definitions/selector",
        "/definitions/pool/properties/nodeSelector",
    }
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}
    for queue, pool in values["pools"].items():
        assert pool.keys() == schema["definitions"]["pool"]["properties"].keys(), queue


def test_the_notes_name_the_release() -> None:
    with helm.Chart.load(CHART) as chart:
        notes = chart.render({}, name="demo", namespace="prod")["renderfarm/templates/NOTES.txt"]
    assert "-n prod exec deploy/demo-renderfarm-api -- farm accounts create" in notes


def test_files_of_others_are_links_to_the_one_there_is() -> None:
    for path in (CHART / "files").iterdir():
        assert path.is_symlink() and path.resolve().is_relative_to(ROOT / "deploy"), path
        assert not Path(path.readlink()).is_absolute(), path
