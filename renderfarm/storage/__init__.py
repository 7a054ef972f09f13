"""Where files are kept: one small interface and two stores, a folder and an S3 bucket.

Rows hold keys (``in/...``, ``work/...``, ``out/...``), never addresses: ``link`` builds the address
from the settings at each read (``renderfarm.cdn``), so that it survives a change of port, CDN or store.

    StorageError        the store did not do it; worth trying again (outage, disk full)
    `-- NotStored       there is nothing under that key
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from renderfarm.cdn import links_of
from renderfarm.settings import Settings, SettingsError, variable_of
from renderfarm.storage.base import (
    Entry,
    NotStored,
    Storage,
    StorageError,
    Stored,
    StoredFile,
    Writer,
    checksum,
    is_key,
)
from renderfarm.storage.files import FileStore
from renderfarm.storage.s3 import S3Store

__all__ = [
    "Entry",
    "FileStore",
    "NotStored",
    "S3Store",
    "Storage",
    "StorageError",
    "Stored",
    "StoredFile",
    "Writer",
    "checksum",
    "is_key",
    "open_storage",
]


def open_storage(settings: Settings) -> Storage:
    """The store of ``settings.storage_url``; raises ``SettingsError`` where it names none."""
    parts = urlsplit(settings.storage_url)
    if parts.scheme == "file" and parts.path.strip("/"):
        own = f"{settings.public_url.rstrip('/')}/files"
        return FileStore(Path(unquote(parts.path)), links_of(settings, own))
    if parts.scheme == "s3" and parts.netloc:
        return S3Store(parts.netloc, settings)
    variable = variable_of("storage_url")
    raise SettingsError(f"{variable}={settings.storage_url!r}: give file:///folder or s3://bucket")
