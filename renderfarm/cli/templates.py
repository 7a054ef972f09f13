"""``farm templates``: scenes that an operator offers to every account."""

from __future__ import annotations

from typing import Any

import click

from renderfarm.cli.common import actor, as_json, emit, settings, table, transaction
from renderfarm.local.errors import StackError

_COLUMNS = ("id", "name", "published_at")


@click.group()
def templates() -> None:
    """Publish scenes for all accounts, list them, and take them back."""


@templates.command()
@click.argument("scene_id", metavar="SCENE")
@click.option("--name", required=True, help="What all accounts see.")
@as_json
def publish(scene_id: str, name: str, as_json: bool) -> None:
    """Offer the ready SCENE to all; it stays when its owner deletes the scene."""
    from renderfarm import assets, audit

    with transaction() as session:
        made = assets.publish(session, settings(), scene_id, name)
        audit.write(session, actor(), "template.publish", subject=made.id, scene=scene_id, name=name)
        row = {"id": made.id, "name": made.name, "published_at": made.published_at}
    emit(row, as_json, lambda: click.echo(made.id))


@templates.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List what is offered, newest first."""
    from renderfarm import assets

    with transaction() as session:
        rows: list[dict[str, Any]] = [
            {"id": each.id, "name": each.name, "published_at": each.published_at}
            for each in assets.templates(session)
        ]
    emit(rows, as_json, lambda: table(_COLUMNS, rows))


@templates.command()
@click.argument("template_id", metavar="TEMPLATE")
@as_json
def remove(template_id: str, as_json: bool) -> None:
    """Offer TEMPLATE no more; scenes that were made from it stay."""
    from renderfarm import assets, audit

    with transaction() as session:
        if not assets.unpublish(session, settings(), template_id):
            raise StackError(f"There is no template {template_id!r}.", "See `farm templates list`.")
        audit.write(session, actor(), "template.remove", subject=template_id)
    emit({"id": template_id, "removed": True}, as_json, lambda: click.echo(f"Removed {template_id}."))
