"""The chart's own CDN: nginx as deploy/nginx has it, told what it needs, and told by whom to forget."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.deploy.chart.rendered import VARIANTS, Rendered, environment, helm, render
from tests.deploy.processes import ROOT

NGINX = ROOT / "deploy" / "nginx"


@pytest.fixture
def cdn() -> Rendered:
    return render(VARIANTS["its own CDN"])


def test_nginx_has_the_configuration_of_the_one_folder(cdn: Rendered) -> None:
    files = cdn.of("ConfigMap")["cdn"]["data"]
    assert files == {name: (NGINX / name).read_text() for name in files}
    mounts = {m["subPath"]: m["mountPath"] for m in cdn.container("cdn")["volumeMounts"] if "subPath" in m}
    assert mounts == {
        "nginx.conf": "/etc/nginx/nginx.conf",
        "s3.js": "/etc/nginx/njs/s3.js",
        "s3.conf.template": "/etc/nginx/templates/s3.conf.template",
        "cdn.conf.template": "/etc/nginx/templates/cdn.conf.template",
    }
    assert mounts.keys() == files.keys()


def test_it_is_told_every_variable_that_its_configuration_asks_for(cdn: Rendered) -> None:
    text = "".join(cdn.of("ConfigMap")["cdn"]["data"].values())
    asked = set(re.findall(r"\$\{((?:CDN|NGINX)_\w+)\}", text)) | set(
        re.findall(r"^env (\w+);", text, re.MULTILINE)
    )
    variables = environment(cdn.container("cdn"))
    # The image makes the one of the other.
    resolvers = {"NGINX_LOCAL_RESOLVERS"}, {"NGINX_ENTRYPOINT_LOCAL_RESOLVERS"}
    assert asked - resolvers[0] == set(variables) - resolvers[1]
    assert resolvers[0] <= asked and resolvers[1] <= set(variables)
    assert variables["CDN_ORIGIN"] == "http://minio.storage.svc.cluster.local:9000"
    assert variables["CDN_BUCKET"] == "renders"
    aws = render({**VARIANTS["its own CDN"], "storage": {"region": "eu-west-1"}})
    assert environment(aws.container("cdn"))["CDN_ORIGIN"] == "https://s3.eu-west-1.amazonaws.com"


def test_farm_and_cdn_know_the_same_secrets_and_style(cdn: Rendered) -> None:
    farm, server = (environment(cdn.container(name)) for name in ("api", "cdn"))
    assert farm["FARM_CDN_STYLE"] == server["CDN_STYLE"] == "secure-link"
    assert farm["FARM_CDN_SECRET"] == server["CDN_LINK_SECRET"]
    assert farm["FARM_CDN_PURGE_SECRET"] == server["CDN_PURGE_SECRET"]
    assert farm["FARM_S3_ACCESS_KEY"] != server["CDN_ACCESS_KEY"], "it may only read"


def test_every_pod_is_told_to_forget_and_the_dispatcher_may_tell_it(cdn: Rendered) -> None:
    server = cdn.of("StatefulSet")["cdn"]
    headless = cdn.of("Service")["cdn-pods"]
    assert server["spec"]["serviceName"] == headless["metadata"]["name"]
    assert headless["spec"]["clusterIP"] == "None"
    hosts = [f"{server['metadata']['name']}-{n}.{headless['metadata']['name']}.prod" for n in range(3)]
    urls = [
        urlsplit(url) for url in environment(cdn.container("dispatcher"))["FARM_CDN_PURGE_URLS"].split(",")
    ]
    assert [url.hostname for url in urls] == hosts
    (port,) = cdn.container("cdn")["ports"]
    assert {url.port for url in urls} == {port["containerPort"]}

    policies = cdn.of("NetworkPolicy")
    (out,), (into,) = policies["to-cdn"]["spec"]["egress"], policies["from-dispatcher"]["spec"]["ingress"]
    assert cdn.matched(policies["to-cdn"]["spec"]["podSelector"]) == {"dispatcher"}
    assert cdn.matched(policies["from-dispatcher"]["spec"]["podSelector"]) == {"cdn"}
    assert [cdn.matched(peer["podSelector"]) for peer in out["to"]] == [{"cdn"}]
    assert [cdn.matched(peer["podSelector"]) for peer in into["from"]] == [{"dispatcher"}]


def test_no_cache_outlives_the_pod_that_is_told_to_forget(cdn: Rendered) -> None:
    spec = cdn.of("StatefulSet")["cdn"]["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Delete", "whenDeleted": "Delete"}


def test_browsers_reach_it_by_a_host_of_its_own(cdn: Rendered) -> None:
    (ingress,) = cdn.of("Ingress").values()
    rules = {rule["host"]: rule["http"]["paths"] for rule in ingress["spec"]["rules"]}
    (way,) = rules["cdn.example.com"]
    assert way["backend"]["service"]["name"] == cdn.of("Service")["cdn"]["metadata"]["name"]
    assert set(ingress["spec"]["tls"][0]["hosts"]) == set(rules)


def test_it_draws_nothing_and_knows_no_secret_of_the_farm(cdn: Rendered) -> None:
    pod = cdn.pods()["cdn"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 101, "the image's own"
    assert "renderfarm-database" not in json.dumps(pod)


@pytest.mark.parametrize(
    "values",
    [
        {"cdn": {"base": "https://c"}},
        {"secrets": {"cdn": {"name": "s"}}},
        {"cdn": {"base": "https://c", "style": "cloudfront"}, "secrets": {"cdn": {"name": "s"}}},
    ],
)
def test_half_a_cdn_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmRenderError, match=r"cdn\.server needs"):
        render({**values, "cdn": {**values.get("cdn", {}), "server": {"enabled": True}}})
