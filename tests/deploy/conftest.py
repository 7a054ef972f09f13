"""An nginx before an S3 server, for all who ask it for files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from renderfarm.db import new_id
from tests.services.cdn import Cdn, cdn_over
from tests.services.s3 import S3Server


@pytest.fixture(scope="package")
def server(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cdn]:
    with cdn_over(s3, tmp_path_factory.mktemp("nginx")) as cdn:
        yield cdn


@pytest.fixture
def cdn(server: Cdn) -> Iterator[Cdn]:
    """With one file in the bucket, which no cache has seen."""
    server.network.refusing = False
    cdn = replace(server, key=f"out/{new_id('job')}/3f2a.mp4")
    cdn.put()
    yield cdn
    for key in list(server.storage.list("")):
        server.storage.delete(key)
