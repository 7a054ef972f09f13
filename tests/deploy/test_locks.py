"""What is installed where: an image has versions of ``requirements.lock``, and all that it needs of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions

import pytest

from tests.deploy.processes import ROOT

IMAGES = ("api", "worker-cpu", "worker-gpu")
#: What would make an image large that does not draw, or draws without a model's weights.
DRAWING, MODELS = {"mediapipe", "opencv-contrib-python-headless", "scipy"}, {"torch", "torchvision"}
#: As if the modules that are named on the command line were not installed.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in sys.argv else super().find_spec(name, path, target)

sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""
#: What each image's processes load to do their work, the process that draws among them.
LOADED = {
    "api": """
import api, api.gunicorn_conf, api.app, api.worker, gunicorn.app.wsgiapp, flower.app, flower.command
import renderfarm.cli, renderfarm.courier, renderfarm.dispatch, renderfarm.migrate, renderfarm.fetch
import alembic.command, boto3, psycopg, sqlalchemy.dialects.postgresql.psycopg
import workers.app, workers.__main__
from renderfarm.settings import Settings
from renderfarm.storage import open_storage
open_storage(Settings(database_url="", storage_url="s3://renders"))
api.create_app()
""",
    "worker-cpu": """
import pipeline.stages, pipeline.serve, pipeline.stitch, pipeline.portrait, pipeline.fixed
import workers.process, workers.runner
import pipeline.perception.video, pipeline.perception.join, pipeline.character, pipeline.compositing
import pipeline.plate, pipeline.shots, pipeline.engines.registry
import mediapipe.python.solutions.face_mesh, mediapipe.python.solutions.hands, mediapipe.python.solutions.pose
from scenedetect.detectors import ContentDetector
from pipeline.engines.registry import engine_for
from pipeline.spec import ENGINES
for engine in ENGINES.values():
    engine_for(engine)
""",
}


def pins(name: str) -> Mapping[str, frozenset[str]]:
    """Each library's version and hashes, of a lock."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found: dict[str, frozenset[str]] = {}
    for line in re.findall(r"^[a-z0-9].*$", text, re.MULTILINE):
        library, version = re.match(r"([\w.\[\]-]+)==(\S+)", line).groups()  # type: ignore[union-attr]
        assert "--hash=sha256:" in line, f"{name}: {library} has no hash"
        found[library] = found.get(library, frozenset()) | {version, *re.findall(r"sha256:\w+", line)}
    return found


def lock(image: str) -> Mapping[str, frozenset[str]]:
    return pins(f"deploy/locks/{image}.lock")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_what_machines_have(image: str) -> None:
    machines, ours = pins("requirements.lock"), lock(image)
    assert len(ours) > 50
    assert {name: pin for name, pin in ours.items() if machines.get(name) != pin} == {}


def test_each_image_has_what_the_smaller_one_has_and_no_more_than_it_is_for() -> None:
    api, cpu, gpu = (lock(image) for image in IMAGES)
    assert set(api) < set(cpu) < set(gpu)
    assert not (DRAWING | MODELS) & set(api)
    assert set(cpu) >= DRAWING and not MODELS & set(cpu)
    assert set(gpu) >= DRAWING | MODELS
    assert not {name for name in cpu if name.startswith("nvidia-")}
    for tool in ("pytest", "pip", "hatchling", "pgserver", "supervisor"):
        assert tool not in gpu


@pytest.mark.parametrize("image", LOADED)
def test_its_processes_find_all_that_they_load_among_what_it_has(image: str) -> None:
    ours = {*lock(image), "renderfarm"}
    absent = [
        module
        for module, libraries in packages_distributions().items()
        if not ours & {re.sub(r"[-_.]+", "-", library).lower() for library in libraries}
    ]
    assert "pytest" in absent
    environment = {"DATABASE_URL": "postgresql://nowhere", "FARM_STORAGE_URL": "file:///tmp/nowhere"}
    command = [sys.executable, "-c", WITHOUT + LOADED[image], *absent]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": "", **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_lock_names_where_packages_come_from() -> None:
    for path in (ROOT / "requirements.lock", *sorted((ROOT / "deploy" / "locks").iterdir())):
        assert "://" not in path.read_text(), path.name
