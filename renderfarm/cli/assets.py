"""``farm characters`` and ``farm scenes``: what is prepared once and rendered often."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import click

from pipeline.spec import Background, Model
from renderfarm.cli.common import SOURCE, as_json, client, emit, table
from renderfarm.client import ClientError

if TYPE_CHECKING:
    from renderfarm.client import Asset, Client

_COLUMNS = ("id", "name", "status", "created_at", "error")
_SCENE_COLUMNS = ("id", "name", "status", "model", "duration_seconds", "created_at", "error")
_EVERY = 0.5
_id = click.argument("asset_id", metavar="ID")
_name = click.option("--name", help="What you call it; the file's name without it.")
_wait = click.option("--wait", is_flag=True, help="Return once it is ready; with 1 where it failed.")
_limit = click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))


@click.group()
def characters() -> None:
    """Prepare, list, show and delete characters, for nothing."""


@click.group()
def scenes() -> None:
    """Prepare, import, list, show and delete scenes, for nothing."""


@characters.command("create")
@click.argument("picture", type=SOURCE)
@_name
@_wait
@as_json
def create_character(picture: Path | str, name: str | None, wait: bool, as_json: bool) -> None:
    """Prepare the character of PICTURE: a file, or an address that the farm fetches by itself."""
    with client() as api:
        made = api.preprocess_character(name or _named(picture), picture)["character_id"]
        _emit(_awaited(api, made) if wait else api.asset(made), as_json)


@scenes.command("create")
@click.argument("video", type=SOURCE)
@_name
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
@click.option(
    "--background", type=click.Choice([b.value for b in Background]), default="original", show_default=True
)
@_wait
@as_json
def create_scene(
    video: Path | str, name: str | None, model: str, background: str, wait: bool, as_json: bool
) -> None:
    """Prepare the scene of VIDEO, a file or an address that the farm fetches by itself, for one model."""
    with client() as api:
        taken = api.preprocess_scene(name or _named(video), video, model=model, background_mode=background)
        made = taken["scene_id"]
        _emit(_awaited(api, made) if wait else api.asset(made), as_json)


def _named(source: Path | str) -> str:
    """What its file is called."""
    return Path(urlsplit(source).path if isinstance(source, str) else source).stem or "unnamed"


@scenes.command("import")
@click.argument("template_id", metavar="TEMPLATE")
@click.option("--name", default="scene", show_default=True)
@as_json
def import_scene(template_id: str, name: str, as_json: bool) -> None:
    """Make a scene from TEMPLATE (see `farm templates list`)."""
    with client() as api:
        _emit(api.asset(api.import_scene(template_id, name)["scene_id"]), as_json)


@characters.command("list")
@_limit
@as_json
def list_characters(limit: int, as_json: bool) -> None:
    """List the account's characters, newest first."""
    _list("characters", limit, as_json)


@scenes.command("list")
@_limit
@as_json
def list_scenes(limit: int, as_json: bool) -> None:
    """List the account's scenes, newest first."""
    _list("scenes", limit, as_json)


@click.command()
@_id
@as_json
def show(asset_id: str, as_json: bool) -> None:
    """Show the one with this ID; of a scene, who is in it, too."""
    with client() as api:
        _emit(api.asset(asset_id), as_json)


@click.command()
@_id
@as_json
def delete(asset_id: str, as_json: bool) -> None:
    """Delete the one with this ID; renders that use it go on."""
    with client() as api:
        api.delete_asset(asset_id)
    emit({"id": asset_id, "deleted": True}, as_json, lambda: click.echo(f"Deleted {asset_id}."))


for _group in (characters, scenes):
    _group.add_command(show)
    _group.add_command(delete)


def _list(kind: Literal["characters", "scenes"], limit: int, as_json: bool) -> None:
    with client() as api:
        page = api.assets(kind, limit)
    rows = page["scenes"] if kind == "scenes" else page["characters"]
    columns = _SCENE_COLUMNS if kind == "scenes" else _COLUMNS
    emit(rows, as_json, lambda: table(columns, rows))


def _awaited(api: Client, asset_id: str) -> Asset:
    while (found := api.asset(asset_id))["status"] not in ("ready", "failed"):
        time.sleep(_EVERY)
    if found["status"] == "failed":
        raise ClientError(found["error_message"] or f"{asset_id} could not be prepared.")
    return found


def _emit(found: Asset, as_json: bool) -> None:
    def show() -> None:
        table(_SCENE_COLUMNS if "model" in found else _COLUMNS, [found])
        if people := found.get("segments"):
            table(("uuid", "thumbnail_url"), people)

    emit(found, as_json, show)
