"""Deletion costs: what the rows say of workers, told to the API of a cluster over HTTPS."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from renderfarm.cdn import Public
from renderfarm.dispatch import Dispatcher
from renderfarm.kubernetes import DeletionCosts
from renderfarm.messages import Message
from renderfarm.settings import Settings
from renderfarm.storage import FileStore
from tests.renderfarm.farm import Farm, worker
from tests.services.certificates import Authority
from tests.services.kubernetes import Cluster, cluster_api
from tests.waiting import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("kubernetes") / "authority")


@pytest.fixture
def cluster(authority: Authority) -> Iterator[Cluster]:
    with cluster_api(authority.server("IP:127.0.0.1")) as cluster:
        for name in ("demo-worker-v4-a", "demo-worker-v4-b"):
            cluster.add(name)
        yield cluster


@pytest.fixture
def account(cluster: Cluster, authority: Authority, tmp_path: Path) -> Path:
    """What the kubelet puts into the dispatcher's pod."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text(cluster.token)
    (folder / "namespace").write_text(cluster.namespace)
    (folder / "ca.crt").write_bytes(authority.pem.read_bytes())
    return folder


@pytest.fixture
def on_cluster(settings: Settings, cluster: Cluster, account: Path) -> Settings:
    return replace(
        settings,
        kubernetes_pods="app.kubernetes.io/instance=demo,renderfarm/pool",
        kubernetes_api=f"https://127.0.0.1:{cluster.port}",
        kubernetes_account=account,
    )


@pytest.fixture
def costs(farm: Farm, on_cluster: Settings) -> DeletionCosts:
    return DeletionCosts(on_cluster, farm.database)


def test_the_pod_of_a_busy_worker_costs_something_until_its_unit_ends(
    farm: Farm, cluster: Cluster, costs: DeletionCosts
) -> None:
    assert costs.tell() == 0
    claim = farm.take(f"{farm.submit(farm.account())}:reference:0", worker("demo-worker-v4-b:v4-1"))
    assert costs.tell() == 1
    assert cluster.costs() == {"demo-worker-v4-b": "1"}
    assert costs.tell() == 0, "it is told once, not at every look"
    farm.carry_out(claim)
    assert costs.tell() == 1
    assert cluster.costs() == {}


def test_a_second_dispatcher_has_nothing_to_add(
    farm: Farm, cluster: Cluster, costs: DeletionCosts, on_cluster: Settings
) -> None:
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("demo-worker-v4-a:v4-1"))
    assert costs.tell() == 1
    assert DeletionCosts(on_cluster, farm.database).tell() == 0
    assert cluster.patched == ["demo-worker-v4-a"]


def test_pods_of_others_and_pods_on_their_way_out_are_left_alone(
    farm: Farm, cluster: Cluster, costs: DeletionCosts
) -> None:
    cluster.add("another", instance="another")
    cluster.add("leaving", leaving=True)
    cluster.add("vanished")
    cluster.vanished.add("vanished")
    job = farm.submit(farm.account())
    for stage, pod in {"reference": "vanished", "analyse": "leaving"}.items():
        farm.take(f"{job}:{stage}:0", worker(f"{pod}:v4-1"))
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("another:v4-1"))
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("demo-worker-v4-a:v4-1"))
    assert costs.tell() == 1
    assert cluster.patched == ["demo-worker-v4-a"]


def test_a_refusal_is_logged_once_and_a_new_token_is_read(
    farm: Farm, cluster: Cluster, costs: DeletionCosts, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("demo-worker-v4-a:v4-1"))
    cluster.token = "eyJ-second"
    with caplog.at_level(logging.WARNING):
        assert [costs.tell(), costs.tell()] == [0, 0]
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == [
        "the cluster is not told which workers are busy"
    ]
    assert "eyJ" not in caplog.text
    (account / "token").write_text("eyJ-second\n")
    assert costs.tell() == 1


def test_a_server_that_its_authority_does_not_know_is_told_nothing(
    farm: Farm, cluster: Cluster, costs: DeletionCosts, account: Path, tmp_path: Path
) -> None:
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("demo-worker-v4-a:v4-1"))
    (account / "ca.crt").write_bytes(Authority(tmp_path / "stranger").pem.read_bytes())
    assert costs.tell() == 0
    assert cluster.answered == [], "the token went to nobody"


@contextmanager
def dispatching(settings: Settings, farm: Farm, store: Path) -> Iterator[list[Message]]:
    """A dispatcher that runs; what it has published."""
    sent: list[Message] = []
    stop = threading.Event()
    dispatcher = Dispatcher(settings, farm.database, sent.append, FileStore(store, Public("http://x")))
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_the_dispatcher_tells_it(farm: Farm, cluster: Cluster, on_cluster: Settings, tmp_path: Path) -> None:
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("demo-worker-v4-a:v4-1"))
    with dispatching(on_cluster, farm, tmp_path / "store"):
        until(lambda: cluster.costs() == {"demo-worker-v4-a": "1"})


def test_a_dispatcher_whose_account_is_missing_dispatches_all_the_same(
    farm: Farm, on_cluster: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dispatching(
        replace(on_cluster, kubernetes_account=tmp_path / "none"), farm, tmp_path / "store"
    ) as sent:
        until(lambda: "the cluster is not told" in caplog.text)
        farm.submit(farm.account())
        until(lambda: sent)
