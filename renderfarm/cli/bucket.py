"""``farm bucket``: what a store of one's own needs once."""

from __future__ import annotations

import click

from renderfarm.cli.common import settings


@click.command()
@click.option("--reader", default="", help="Who may read what is finished, as the store names accounts.")
def bucket(reader: str) -> None:
    """Make the bucket of FARM_STORAGE_URL where it is not there yet; safe to run twice."""
    from renderfarm.storage import S3Store, StorageError, open_storage

    store = open_storage(settings())
    if not isinstance(store, S3Store):
        raise click.ClickException("FARM_STORAGE_URL names no bucket, such as s3://renders")
    try:
        store.make(reader)
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    click.echo("the bucket is there")
