"""An S3 bucket as a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderfarm.cdn import Links, links_of
from renderfarm.settings import Settings
from renderfarm.storage.base import (
    CHUNK,
    Entry,
    NotStored,
    Storage,
    StorageError,
    Stored,
    Writer,
    checked,
    checked_prefix,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef

#: S3 takes no part under 5 MiB but the last, and no more than 10,000 of them.
PART = 8 << 20
#: How long the farm itself may read by an address that it has signed.
_SOURCE_SECONDS = 24 * 3600


class S3Store(Storage):
    """Objects in a bucket of anything that speaks S3; made for many threads, one client a process.

    Signatures hold for one host: what is signed for others is signed for the address by which they come.
    """

    def __init__(self, bucket: str, settings: Settings) -> None:
        self._bucket = bucket
        self._client = _client(settings, settings.s3_endpoint)
        outside = settings.s3_public_endpoint
        self._outside = _client(settings, outside) if outside else self._client
        self._links = links_of(settings, sign=partial(self._signed, self._outside))

    @property
    def links(self) -> Links:
        return self._links

    def writer(self, key: str, content_type: str = "") -> Writer:
        return _S3Writer(self._client, self._bucket, checked(key), content_type)

    def fetch(self, key: str, folder: Path) -> Path:
        target = folder / checked(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        with _bucket(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with part.open("wb") as file, closing(answer["Body"]) as body:
                # The body itself raises where the connection ends before Content-Length.
                for chunk in body.iter_chunks(CHUNK):
                    file.write(chunk)
        return part.replace(target)

    def source(self, key: str) -> str:
        return self._signed(self._client, checked(key), _SOURCE_SECONDS)

    def size(self, key: str) -> int:
        with _bucket(key):
            return self._client.head_object(Bucket=self._bucket, Key=checked(key))["ContentLength"]

    def delete(self, key: str) -> None:
        with _bucket(key):
            self._client.delete_object(Bucket=self._bucket, Key=checked(key))
            self._abort_uploads(key)

    def entries(self, prefix: str) -> Iterator[Entry]:
        folder = checked_prefix(prefix) if prefix else ""
        with _bucket(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=folder):
                for entry in page.get("Contents", []):
                    yield Entry(entry["Key"], entry["Size"], entry["LastModified"].timestamp())

    def delete_prefix(self, prefix: str, but: Collection[str] = ()) -> None:
        with _bucket(prefix):
            for key in set(self.list(checked_prefix(prefix))).difference(but):
                # One by one: the bulk call demands a checksum that not every store knows.
                self._client.delete_object(Bucket=self._bucket, Key=key)
            self._abort_uploads(prefix)

    def make(self, reader: str = "") -> None:
        """Have the bucket there; and let ``reader``, as the store names it, read what is finished, no more.

        To do it twice changes nothing. Raises ``StorageError``.
        """
        with _bucket(self._bucket):
            with suppress(self._client.exceptions.BucketAlreadyOwnedByYou):
                self._client.create_bucket(Bucket=self._bucket)
            if reader:
                policy = json.dumps(_read_only(self._bucket, reader))
                self._client.put_bucket_policy(Bucket=self._bucket, Policy=policy)

    def check(self) -> None:
        with _bucket(self._bucket):
            self._client.head_bucket(Bucket=self._bucket)

    def first(self, key: str, size: int) -> bytes:
        with _bucket(key):
            span = f"bytes=0-{size - 1}"
            answer = self._client.get_object(Bucket=self._bucket, Key=checked(key), Range=span)
            with closing(answer["Body"]) as body:
                return body.read(size)

    def digest(self, key: str) -> Stored:
        digest, size = hashlib.sha256(), 0
        with _bucket(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=checked(key))
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
        return Stored(size, digest.hexdigest())

    def open_parts(self, key: str, parts: int, content_type: str = "") -> str:
        # However many: the address of a plain PUT would stay good when the object is somebody's.
        kind: dict[str, Any] = {"ContentType": content_type} if content_type else {}
        with _bucket(key):
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=checked(key), **kind)
            return begun["UploadId"]

    def part_url(self, key: str, handle: str, number: int, size: int, seconds: float) -> str | None:
        # The length is signed with the rest: the store refuses what is longer or shorter.
        where = {"Bucket": self._bucket, "Key": checked(key), "UploadId": handle}
        params = {**where, "PartNumber": number, "ContentLength": size}
        return self._outside.generate_presigned_url(
            "upload_part", Params=params, ExpiresIn=max(1, int(seconds))
        )

    def part_writer(self, key: str, number: int) -> Writer:
        raise StorageError("parts are sent to the store itself")

    def parts(self, key: str, handle: str, part_size: int) -> dict[int, int]:
        try:
            return {part["PartNumber"]: part["Size"] for part in self._parts(key, handle)}
        except NotStored:
            return {}

    def join_parts(self, key: str, handle: str, part_size: int) -> None:
        try:
            made: Sequence[CompletedPartTypeDef] = [
                {"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in self._parts(key, handle)
            ]
            with _bucket(key):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=checked(key),
                    UploadId=handle,
                    MultipartUpload={"Parts": made},
                )
        except NotStored:
            self.size(key)  # a call that died had joined them

    def _parts(self, key: str, handle: str) -> Sequence[PartTypeDef]:
        with _bucket(key):
            pages = self._client.get_paginator("list_parts")
            pages_of = pages.paginate(Bucket=self._bucket, Key=checked(key), UploadId=handle)
            return [part for page in pages_of for part in page.get("Parts", [])]

    def _signed(self, client: S3Client, key: str, seconds: int) -> str:
        params = {"Bucket": self._bucket, "Key": key}
        return client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)

    def _abort_uploads(self, prefix: str) -> None:
        """Abort what writers that died began: of one key, or under a prefix that ends in ``/``."""
        pages = self._client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                if upload["Key"] == prefix or prefix.endswith("/"):
                    with suppress(NotStored), _bucket(prefix):  # finished or aborted meanwhile
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )


def _client(settings: Settings, endpoint: str) -> S3Client:
    import boto3
    from botocore.config import Config

    client: S3Client = boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key or None,
        aws_secret_access_key=settings.s3_secret_key or None,
        config=Config(
            signature_version="s3v4",
            # Stores that are not AWS seldom have a DNS name for each bucket, nor AWS's newer checksums.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=32,
        ),
    )
    return client


def _read_only(bucket: str, reader: str) -> dict[str, object]:
    """The policy of a bucket whose uploads and work in hand are nobody's to read.

    Who may not list is told 403 of a file that is not there, and a cache would never learn that it has gone.
    """
    bucket = f"arn:aws:s3:::{bucket}"
    allowed = {"s3:GetObject": f"{bucket}/out/*", "s3:ListBucket": bucket}
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": [reader]}, "Action": [action], "Resource": [resource]}
        for action, resource in allowed.items()
    ]
    return {"Version": "2012-10-17", "Statement": statements}


class _S3Writer(Writer):
    """One PUT for what fits in a part, else a multipart upload; holds one part in memory."""

    def __init__(self, client: S3Client, bucket: str, key: str, content_type: str) -> None:
        super().__init__()
        self._client = client
        self._where: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._kind: dict[str, Any] = {"ContentType": content_type} if content_type else {}
        self._buffer = bytearray()
        self._upload = ""
        self._parts: list[CompletedPartTypeDef] = []

    def _append(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PART:
            self._send(bytes(self._buffer[:PART]))
            del self._buffer[:PART]

    def _send(self, part: bytes) -> None:
        with _bucket(self._where["Key"]):
            if not self._upload:
                begun = self._client.create_multipart_upload(**self._where, **self._kind)
                self._upload = begun["UploadId"]
            number = len(self._parts) + 1
            sent = self._client.upload_part(
                **self._where, UploadId=self._upload, PartNumber=number, Body=part
            )
            self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _finish(self) -> None:
        with _bucket(self._where["Key"]):
            if not self._upload:
                self._client.put_object(**self._where, **self._kind, Body=bytes(self._buffer))
                return
            if self._buffer:
                self._send(bytes(self._buffer))
            self._client.complete_multipart_upload(
                **self._where, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
            )

    def _abort(self) -> None:
        self._buffer.clear()
        if self._upload:
            # Should the store be away, the garbage row of the key aborts the upload later.
            with suppress(StorageError), _bucket(self._where["Key"]):
                self._client.abort_multipart_upload(**self._where, UploadId=self._upload)


@contextmanager
def _bucket(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        raise (NotStored if status == 404 else StorageError)(f"{what}: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise StorageError(f"{what}: {error}") from error
