"""``farm bucket`` against a real S3 server."""

from __future__ import annotations

from click.testing import CliRunner, Result

from renderfarm.cli import main
from renderfarm.storage import open_storage
from renderfarm.storage.s3 import _read_only
from tests.services.s3 import S3Server


def bucket(s3: S3Server, *words: str, url: str = "s3://newly-made") -> Result:
    environment = {
        "DATABASE_URL": "postgresql://nowhere",
        "FARM_STORAGE_URL": url,
        "FARM_S3_ENDPOINT": s3.endpoint,
        "FARM_S3_ACCESS_KEY": s3.access_key,
        "FARM_S3_SECRET_KEY": s3.secret_key,
    }
    return CliRunner().invoke(main, ["bucket", *words], env=environment)


def test_it_makes_a_bucket_once_and_leaves_what_is_in_it(s3: S3Server) -> None:
    assert bucket(s3).exit_code == 0
    store = open_storage(s3.settings(storage_url="s3://newly-made"))
    store.check()
    with store.writer("out/job/a.mp4") as out:
        out.write(b"a video")
        out.commit()
    assert bucket(s3).exit_code == 0
    assert store.size("out/job/a.mp4") == 7


def test_it_says_so_where_a_store_cannot_keep_its_readers_to_what_is_finished(s3: S3Server) -> None:
    done = bucket(s3, "--reader", "cdn")  # this server knows no policies
    assert done.exit_code == 1
    assert "newly-made" in done.output and "policy" in done.output.lower()


def test_a_reader_may_read_what_is_finished_and_see_what_is_there_and_do_nothing_else() -> None:
    told = _read_only("renders", "cdn")["Statement"]
    assert isinstance(told, list)
    allowed = {
        (each["Effect"], *each["Principal"]["AWS"], *each["Action"], *each["Resource"]) for each in told
    }
    assert allowed == {
        ("Allow", "cdn", "s3:GetObject", "arn:aws:s3:::renders/out/*"),
        ("Allow", "cdn", "s3:ListBucket", "arn:aws:s3:::renders"),
    }


def test_a_folder_is_no_bucket(s3: S3Server) -> None:
    done = bucket(s3, url="file:///tmp/files")
    assert done.exit_code == 1 and "names no bucket" in done.output
