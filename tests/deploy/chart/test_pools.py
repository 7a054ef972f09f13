"""The pools: whose nodes they take, how they grow, shrink and change, and what asks for that."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from pipeline.spec import RENDER, Model, Stage
from renderfarm.db import Database
from renderfarm.settings import Settings
from tests.deploy.chart.rendered import QUEUES, VARIANTS, Rendered, environment, render
from tests.renderfarm.farm import Farm, worker

EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DISRUPT = "karpenter.sh/do-not-disrupt"


@pytest.mark.parametrize("queue", ["v3", "v4"])
def test_a_gpu_pool_has_its_own_nodes_one_gpu_a_pod_and_time_to_hand_over(
    defaults: Rendered, queue: str
) -> None:
    template = defaults.pods()[f"worker-{queue}"]
    pod, container = template["spec"], defaults.container(f"worker-{queue}")
    assert container["args"] == ["python", "-m", "workers", "run", queue]
    assert container["livenessProbe"]["exec"]["command"] == ["python", "-m", "workers", "health", queue]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == {"renderfarm/pool": queue}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    assert (template["metadata"]["annotations"][EVICT], template["metadata"]["annotations"][DISRUPT]) == (
        "false",
        "true",
    )
    assert pod["terminationGracePeriodSeconds"] == 600


def test_no_gpu_pools_pod_fits_a_node_of_the_other(release: Rendered) -> None:
    nodes = {queue: {"renderfarm/pool": queue} for queue in ("v3", "v4")}
    for name, pod in release.pods().items():
        queue = name.rpartition("-")[2]
        wanted = pod["spec"].get("nodeSelector", {})
        if any("nvidia" in key for key in release.container(name)["resources"]["limits"]) and wanted:
            assert {n for n, labels in nodes.items() if wanted.items() <= labels.items()} == {queue}


def test_a_worker_drains_before_its_grace_ends(release: Rendered) -> None:
    for queue in QUEUES:
        drain = float(environment(release.container(f"worker-{queue}"))["FARM_DRAIN_SECONDS"])
        grace = release.pods()[f"worker-{queue}"]["spec"]["terminationGracePeriodSeconds"]
        assert 0 < drain <= grace - 60
        deadline = release.of("Deployment")[f"worker-{queue}"]["spec"]["progressDeadlineSeconds"]
        assert deadline > grace + 600


def test_an_upgrade_waits_for_no_gpu_that_an_old_pod_has(release: Rendered) -> None:
    for queue in QUEUES:
        update = release.of("Deployment")[f"worker-{queue}"]["spec"]["strategy"]["rollingUpdate"]
        has_gpu = any("nvidia" in key for key in release.container(f"worker-{queue}")["resources"]["limits"])
        assert (update["maxSurge"] == 0) == has_gpu
        assert update["maxUnavailable"] == "25%"


def test_the_pools_without_a_gpu_ask_for_none_and_for_no_special_node(defaults: Rendered) -> None:
    for name in ("worker-cpu", "worker-fetch"):
        template = defaults.pods()[name]
        assert "nvidia.com/gpu" not in defaults.container(name)["resources"]["limits"]
        assert not {"nodeSelector", "tolerations"} & template["spec"].keys()
        assert EVICT not in template["metadata"]["annotations"]


@pytest.mark.parametrize(("example", "gpus"), [("cpu-only", 0), ("one-gpu", 1)])
def test_an_example_asks_for_no_more_gpus_than_it_says(example: str, gpus: int) -> None:
    rendered = render(VARIANTS[example])
    asked = {
        name: rendered.of("Deployment")[name]["spec"]["replicas"]
        for name in rendered.pods()
        if "nvidia.com/gpu" in rendered.container(name)["resources"]["limits"]
    }
    assert sum(asked.values()) == gpus
    assert not [name for name, pod in rendered.pods().items() if "nodeSelector" in pod["spec"]]


def test_replicas_are_as_told() -> None:
    told = render({"pools": {"v3": {"replicas": 0}, "v4": {"replicas": 7}}, "api": {"replicas": 3}})
    replicas = {name: o["spec"]["replicas"] for name, o in told.of("Deployment").items()}
    services = {"api": 3, "dispatcher": 2, "courier": 2, "exporter": 1, "flower": 1}
    assert replicas == {**services, "worker-v3": 0, "worker-v4": 7, "worker-cpu": 2, "worker-fetch": 2}


def test_whoever_is_scaled_says_no_number_and_whoever_is_not_does(release: Rendered) -> None:
    names = {o["metadata"]["name"]: name for name, o in release.of("Deployment").items()}
    scalers = [*release.of("ScaledObject").values(), *release.of("HorizontalPodAutoscaler").values()]
    targets = [names[scaler["spec"]["scaleTargetRef"]["name"]] for scaler in scalers]
    assert len(set(targets)) == len(targets)
    silent = {name for name, o in release.of("Deployment").items() if "replicas" not in o["spec"]}
    assert silent == set(targets)
    for queue, scaler in release.of("ScaledObject").items():
        assert names[scaler["spec"]["scaleTargetRef"]["name"]] == queue
        assert scaler["spec"]["minReplicaCount"] <= scaler["spec"]["maxReplicaCount"]
        (trigger,) = scaler["spec"]["triggers"]
        (auth,) = release.of("TriggerAuthentication").values()
        assert trigger["authenticationRef"]["name"] == auth["metadata"]["name"]


def test_pools_shrink_slowly_and_one_by_one() -> None:
    release = render(VARIANTS["two-pools"])
    spec = release.of("ScaledObject")["worker-v4"]["spec"]
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == spec["cooldownPeriod"] == 900
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 8)


@pytest.mark.parametrize(
    ("values", "secret"), [({}, "renderfarm-database"), ({"secret": {"name": "reader"}}, "reader")]
)
def test_keda_asks_the_database_by_the_farms_secret_or_by_one_of_its_own(
    values: dict[str, Any], secret: str
) -> None:
    release = render({"keda": values, "pools": {"v3": {"autoscaling": {"enabled": True}}}})
    assert set(release.of("ScaledObject")) == {"worker-v3"}
    (auth,) = release.of("TriggerAuthentication").values()
    assert auth["spec"]["secretTargetRef"] == [{"parameter": "connection", "name": secret, "key": "url"}]


@pytest.fixture
def farm(database: Database, settings: Settings) -> Farm:
    return Farm(database, settings)


def demand(farm: Farm, headroom: int = 0, **settings: str) -> dict[str, int]:
    """What KEDA is answered for each pool."""
    pool = {"autoscaling": {"enabled": True, "headroom": headroom}}
    release = render({"pools": dict.fromkeys(QUEUES, pool), "settings": settings})
    found = {}
    with farm.database.begin() as session:
        for name, scaler in release.of("ScaledObject").items():
            (trigger,) = scaler["spec"]["triggers"]
            assert trigger["metadata"]["targetQueryValue"] == "1", "a worker for each unit"
            value = session.scalar(text(trigger["metadata"]["query"]))
            assert type(value) is int
            found[name.removeprefix("worker-")] = value
    return found


def test_the_demand_is_what_waits_and_what_runs(farm: Farm) -> None:
    assert demand(farm) == {"v3": 0, "v4": 0, "cpu": 0, "fetch": 0}
    job = farm.submit(farm.account())
    farm.submit(farm.account(), model=Model.V3)
    assert demand(farm) == {"v3": 2, "v4": 2, "cpu": 0, "fetch": 0}
    claim = farm.take(f"{job}:reference:0", worker("a"))
    farm.report(worker("b"))
    assert f"{job}:analyse:0" in farm.admit()
    assert demand(farm)["v4"] == 2, "waiting, admitted or running is one unit of work"
    farm.carry_out(claim)
    assert demand(farm)["v4"] == 1
    for stage in RENDER:
        if stage not in {Stage.REFERENCE, Stage.STITCH}:
            farm.do(job, stage)
    assert demand(farm) == {"v3": 2, "v4": 0, "cpu": 1, "fetch": 0}


def test_the_demand_of_one_account_ends_at_its_cap_but_for_fast_jobs(farm: Farm) -> None:
    account = farm.account(credit=1000)
    for _ in range(5):
        farm.submit(account)
    assert farm.settings.account_running_cap == 4
    assert demand(farm)["v4"] == 4
    assert demand(farm, FARM_ACCOUNT_RUNNING_CAP="7")["v4"] == 7
    farm.submit(farm.account())
    assert demand(farm)["v4"] == 4 + 2
    with farm.database.begin() as session:
        session.execute(text("UPDATE units SET fast = true WHERE account_id = :id"), {"id": account})
    assert demand(farm)["v4"] == 10 + 2


def test_headroom_is_asked_for_beside_what_there_is_to_do(farm: Farm) -> None:
    farm.submit(farm.account())
    assert demand(farm, headroom=2) == {"v3": 2, "v4": 4, "cpu": 2, "fetch": 2}


def test_placeholders_take_the_room_of_a_worker_and_give_way_to_it() -> None:
    release = render(VARIANTS["two-pools"])
    spare, drawing = (release.pods()[name]["spec"] for name in ("spare-v4", "worker-v4"))
    (priority,) = release.of("PriorityClass").values()
    assert spare["priorityClassName"] == priority["metadata"]["name"]
    assert -10 <= priority["value"] < 0, "below -10 Cluster Autoscaler adds no node"
    assert "priorityClassName" not in drawing
    for key in ("nodeSelector", "tolerations"):
        assert spare[key] == drawing[key]
    ours, theirs = release.container("spare-v4"), release.container("worker-v4")
    assert (ours["resources"], ours["image"]) == (theirs["resources"], theirs["image"])
    assert "env" not in ours, "it knows no secret"
    assert not [name for name in release.pods() if name.startswith("spare-") and name != "spare-v4"]


def test_weights_are_mounted_to_be_read_where_the_engines_look() -> None:
    release = render(VARIANTS["weights"])
    for name, pod in release.pods().items():
        mounts = {m["name"]: m for m in release.container(name)["volumeMounts"]}
        if name not in {"worker-v3", "worker-v4"}:
            assert "weights" not in mounts
            continue
        assert mounts["weights"] == {"name": "weights", "mountPath": "/weights", "readOnly": True}
        assert environment(release.container(name))["FARM_WEIGHTS"] == "/weights"
        volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
        claim = {"claimName": "weights", "readOnly": True}
        if name == "worker-v3":
            assert volumes["weights"]["persistentVolumeClaim"] == claim
            continue
        (copies,) = pod["spec"]["initContainers"]
        assert (copies["image"], copies["command"]) == ("weights:2", ["cp", "-R", "/weights/.", "/copy"])
        assert copies["volumeMounts"] == [{"name": "weights", "mountPath": "/copy"}]
        assert volumes["weights"]["emptyDir"] == {"sizeLimit": "40Gi"}
