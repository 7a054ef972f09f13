"""The corner of a cluster's API that the farm speaks to, by HTTPS: pods are listed, and annotated."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Cluster:
    """Pods by name, of one namespace; who asks needs the token."""

    namespace: str = "prod"
    token: str = "eyJ-first"
    port: int = 0
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The names of patched pods, as they came.
    patched: list[str] = field(default_factory=list)
    #: Listed, but gone when they are patched.
    vanished: set[str] = field(default_factory=set)
    #: Statuses answered, as they came.
    answered: list[int] = field(default_factory=list)

    def add(self, name: str, *, instance: str = "demo", leaving: bool = False) -> None:
        labels = {"app.kubernetes.io/instance": instance, "renderfarm/pool": "v4"}
        metadata: dict[str, Any] = {"name": name, "labels": labels}
        self.pods[name] = {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else metadata

    def costs(self) -> dict[str, str]:
        """The deletion costs of the pods that have one."""
        cost = "controller.kubernetes.io/pod-deletion-cost"
        found = {name: (pod.get("annotations") or {}).get(cost) for name, pod in self.pods.items()}
        return {name: value for name, value in found.items() if value is not None}

    def list(self, selector: str) -> dict[str, Any]:
        """Of the selectors there are, those by equality and by existence."""
        terms = [term.partition("=") for term in selector.split(",")]
        chosen = [
            pod
            for pod in self.pods.values()
            if all(key in pod["labels"] and value in ("", pod["labels"][key]) for key, _, value in terms)
        ]
        return {"kind": "PartialObjectMetadataList", "items": [{"metadata": pod} for pod in chosen]}

    def patch(self, name: str, change: dict[str, Any]) -> dict[str, Any]:
        """A merge patch of annotations: null removes one."""
        annotations = {**self.pods[name].get("annotations", {}), **change["metadata"]["annotations"]}
        self.pods[name]["annotations"] = {
            key: value for key, value in annotations.items() if value is not None
        }
        self.patched.append(name)
        return {"metadata": self.pods[name]}


@contextmanager
def cluster_api(context: ssl.SSLContext) -> Iterator[Cluster]:
    """The API of a new cluster on 127.0.0.1, under the certificate of ``context``."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "Accept")

        def do_PATCH(self) -> None:
            self._answer("application/merge-patch+json", "Content-Type")

        def _answer(self, kind: str, header: str) -> None:
            status, body = self._judged(kind, header)
            text = json.dumps(body).encode()
            cluster.answered.append(status)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _judged(self, kind: str, header: str) -> tuple[int, dict[str, Any]]:
            url = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            root, _, name = url.path.partition(f"/api/v1/namespaces/{cluster.namespace}/pods")
            if self.headers["Authorization"] != f"Bearer {cluster.token}":
                return 401, {}
            if root or self.headers[header] != kind:
                return 415, {}
            if not name:
                return 200, cluster.list(parse_qs(url.query)["labelSelector"][0])
            if name[1:] not in cluster.pods or name[1:] in cluster.vanished:
                return 404, {}
            return 200, cluster.patch(name[1:], json.loads(sent))

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cluster.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
