"""Tells Kubernetes which workers are busy, so that a pool that shrinks loses idle ones first.

A ReplicaSet gives up the pods of the lowest deletion cost. The workers decode strangers' media and have no
token of the cluster's API; the dispatcher, which knows from the rows who works, writes the cost for them.
It is a hint like a message: where it fails, a busy worker hands its unit over, and nothing is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import requests

from renderfarm import pools
from renderfarm.db import Database
from renderfarm.settings import Settings

log = logging.getLogger(__name__)

COST = "controller.kubernetes.io/pod-deletion-cost"
#: What a busy worker costs; a pod without the annotation costs nothing.
BUSY = "1"
#: To connect, and to be answered.
_TIMEOUT = (3, 5)
#: Names and annotations are enough; a pod whole is some kilobytes.
_NO_MORE_THAN_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class DeletionCosts:
    """Keeps the deletion costs of the workers' pods in step with the rows."""

    #: How often they are looked at: well within the 15 s after which an autoscaler looks again.
    EVERY_SECONDS = 5.0

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._selector = settings.kubernetes_pods
        self._api = settings.kubernetes_api
        self._account = settings.kubernetes_account
        self._http = requests.Session()
        self._http.trust_env = False  # a .netrc or a proxy for the internet has no say here
        self._complained = False

    def tell(self) -> int:
        """One pass; how many pods it changed. A cluster that refuses, or does not answer, is logged once."""
        with self._database.begin() as session:
            busy = pools.busy_hosts(session)
        try:
            changed = sum(self._write(name, cost) for name, cost in self._due(busy))
        except (requests.RequestException, OSError) as error:
            if not self._complained:
                log.warning("the cluster is not told which workers are busy: %s", error)
            self._complained = True
            return 0
        self._complained = False
        return changed

    def _due(self, busy: frozenset[str]) -> Iterator[tuple[str, str | None]]:
        """The pods whose cost is not what it should be, and what it should be; None: no annotation."""
        # Version 0: what the API server has in memory will do, and costs it least.
        query = {"labelSelector": self._selector, "resourceVersion": "0"}
        answer = self._ask("GET", "", params=query, headers={"Accept": _NO_MORE_THAN_METADATA})
        answer.raise_for_status()
        for pod in answer.json()["items"] or ():
            metadata = pod["metadata"]
            cost = BUSY if metadata["name"] in busy else None
            if "deletionTimestamp" not in metadata and (metadata.get("annotations") or {}).get(COST) != cost:
                yield metadata["name"], cost

    def _write(self, name: str, cost: str | None) -> bool:
        answer = self._ask(
            "PATCH",
            f"/{name}",
            json={"metadata": {"annotations": {COST: cost}}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        if answer.status_code == requests.codes.not_found:
            return False  # it has gone meanwhile
        answer.raise_for_status()
        return True

    def _ask(self, method: str, path: str, *, headers: dict[str, str], **how: Any) -> requests.Response:
        # Read anew each time: the kubelet replaces the token every hour.
        token, namespace = ((self._account / name).read_text().strip() for name in ("token", "namespace"))
        return self._http.request(
            method,
            f"{self._api}/api/v1/namespaces/{namespace}/pods{path}",
            headers={**headers, "Authorization": f"Bearer {token}"},
            verify=str(self._account / "ca.crt"),
            timeout=_TIMEOUT,
            allow_redirects=False,
            **how,
        )
