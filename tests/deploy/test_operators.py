"""What operators look at: a real nginx with the stack's configuration before a page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from renderfarm.local.ports import free_port
from tests.services.debian import Unavailable
from tests.services.nginx import nginx_server

PASSWORD = "secret-of-operators"


@Request.application
def page(request: Request) -> Response:
    """Says what it was asked for, and whether as a websocket."""
    asked = {f"X-{name}": request.headers.get(name, "") for name in ("Upgrade", "Connection", "Host")}
    return Response(request.path, headers=asked)


@pytest.fixture
def operators(tmp_path: Path) -> Iterator[str]:
    """Where their port leads; every page of theirs is the same one."""
    server = make_server("127.0.0.1", 0, page, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    behind, port = f"http://127.0.0.1:{server.port}", free_port()
    names = ("api.conf.template", "operators.conf.template", "operators.htpasswd.template")
    variables = {
        "API_ORIGIN": behind,
        "STORE_ORIGIN": behind,
        "STORE_BUCKET": "renders",
        "API_MAX_BODY_MB": "1",
        "OPERATORS_PASSWORD": PASSWORD,
        "NGINX_LOCAL_RESOLVERS": "127.0.0.1",
    }
    here = {
        "listen 8001": f"listen 127.0.0.1:{port}",
        "http://flower:5555": behind,
        "http://grafana:3000": behind,
        "http://prometheus:9090": behind,
        "http://alertmanager:9093": behind,
    }
    try:
        with nginx_server(tmp_path / "nginx", list(names), variables, here):
            yield f"http://127.0.0.1:{port}"
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        server.shutdown()
        server.server_close()


def test_their_pages_ask_for_the_password(operators: str) -> None:
    for name in ("prometheus", "alertmanager"):
        address = f"{operators}/{name}/graph/x"
        assert requests.get(address, timeout=10).status_code == 401
        assert requests.get(address, auth=("operator", "guessed"), timeout=10).status_code == 401
        shown = requests.get(address, auth=("operator", PASSWORD), timeout=10)
        assert shown.text == "/graph/x", "below its prefix is the service itself"


def test_grafana_asks_by_itself_and_is_what_comes_first(operators: str) -> None:
    assert requests.get(f"{operators}/grafana/login", timeout=10).text == "/grafana/login"
    first = requests.get(operators, allow_redirects=False, timeout=10)
    assert (first.status_code, first.headers["Location"]) == (302, "/grafana/")


def test_flower_asks_by_itself_below_its_prefix_with_its_websockets(operators: str) -> None:
    asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Host": "farm.example:8081"}
    answer = requests.get(f"{operators}/flower/workers?a=1", headers=asked, timeout=10)
    assert answer.text == "/flower/workers"
    heard = {name: answer.headers[f"X-{name}"] for name in asked}
    assert heard == {**asked, "Connection": "upgrade"}
    moved = requests.get(f"{operators}/flower", allow_redirects=False, timeout=10)
    assert (moved.status_code, moved.headers["Location"]) == (301, "/flower/")


@pytest.mark.parametrize("hidden", ["metrics", "%6detrics", "./metrics", "/metrics"])
def test_flowers_metrics_which_ask_for_no_password_are_not_shown(operators: str, hidden: str) -> None:
    raw = requests.Request("GET", operators).prepare()
    raw.url = f"{operators}/flower/{hidden}"
    with requests.Session() as session:
        assert session.send(raw, timeout=10).status_code == 404
