"""The CDN: a real nginx with our configuration, before a real S3 server."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
import requests

from renderfarm.cdn import SecureLink
from renderfarm.cdn.purge import SLICE
from tests.services import hostile
from tests.services.cdn import DATA, PURGE, PURGE_SECRET, SECRET, Cdn, cdn_over
from tests.services.s3 import S3Server
from tests.waiting import until


def test_ranges_are_exact_across_slices_and_nearly_all_come_from_the_cache(cdn: Cdn) -> None:
    statuses = []
    borders = [n * SLICE + around for n in (0, 1, 2, 3) for around in (-2, 0, 1)]
    for first in (start for start in borders if start >= 0):
        for length in (1, 3, 70_000, SLICE + 5):
            answer = cdn.range(first, first + length - 1)
            assert answer.status_code == 206
            assert answer.content == DATA[first : first + length]
            end = min(first + length, len(DATA)) - 1
            assert answer.headers["Content-Range"] == f"bytes {first}-{end}/{len(DATA)}"
            statuses.append(answer.headers["X-Cache-Status"])
    assert cdn.get().content == DATA
    assert cdn.get(Range="bytes=-500").content == DATA[-500:]
    hits = statuses.count("HIT") / len(statuses)
    print(f"hit ratio over {len(statuses)} ranges, by the first slice of each: {hits:.3f}")
    assert hits > 0.9


def test_a_head_a_condition_and_a_range_beyond_the_end(cdn: Cdn) -> None:
    whole = cdn.get()
    tag = whole.headers["ETag"]
    head = cdn.get(method="HEAD")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(len(DATA)), b"")
    assert head.headers["Accept-Ranges"] == "bytes"
    assert head.headers["Content-Type"] == "video/mp4"
    assert cdn.get(If_None_Match=tag).status_code == 304
    same = cdn.get(Range="bytes=5-9", If_Range=tag)
    assert (same.status_code, same.content) == (206, DATA[5:10])
    assert cdn.get(Range="bytes=5-9", If_Range='"another"').content == DATA
    assert cdn.get(Range="bytes=0-1,5-6").content == DATA  # one range a request
    beyond = cdn.range(len(DATA) + SLICE, len(DATA) + SLICE + 1)
    assert (beyond.status_code, beyond.headers["Cache-Control"]) == (416, "no-store")


def test_what_is_finished_never_changes_and_may_be_kept_by_who_has_its_address(cdn: Cdn) -> None:
    answer = cdn.get()
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in answer.headers if name.lower().startswith(("x-amz", "x-trans", "set-cook"))]


def test_an_altered_address_is_forbidden_and_an_old_one_is_gone(cdn: Cdn) -> None:
    url = cdn.url
    cdn.put(cdn.key.replace("3f2a", "other"))
    for altered in (
        url.replace("md5=", "md5=A")[:-1],
        url.replace("expires=1", "expires=2"),
        url.replace("3f2a", "other"),
        url.partition("?")[0],
        url.partition("&")[0],
        f"{url.partition('?')[0]}?md5=&expires=",
        f"{url.partition('?')[0]}?{url.partition('&')[2]}",  # signed, and without an end
    ):
        assert requests.get(altered, timeout=10).status_code == 403, altered
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("renderfarm.cdn.links._end", lambda _: datetime.now(UTC) - timedelta(seconds=2))
        old = cdn.url
    assert requests.get(old, timeout=10).status_code == 410
    assert requests.get(f"{url}&expires=9999999999&md5=x", timeout=10).status_code == 200  # the first counts


_ELSEWHERE = """
    /in/acct/secret                          /out/../in/acct/secret
    /out/%2e%2e/in/acct/secret               /out/..%2Fin/acct/secret
    /out/%252e%252e/in/acct/secret           /out/x%2F..%2F..%2Fin%2Facct%2Fsecret
    //in/acct/secret                         /out/job/%2e%2e%2f%2e%2e%2fin/acct/secret
    /out/job/..;/..;/in/acct/secret          /out/job/\\..\\..\\in/acct/secret
    /purge/in/acct/secret                    /purge/out/../../in/acct/secret
    /                                        /renders/in/acct/secret
    /out                                     /out/
    /out/job/                                /out/job%2F
    /out/job/a.mp4%3Flist-type=2             /out/job/a.mp4%00
    /out/.job/x                              /purge/out
    """


def test_nothing_but_finished_files_is_to_be_had_whatever_the_path(cdn: Cdn) -> None:
    cdn.put("in/acct/secret", b"somebody's picture")
    for path in _ELSEWHERE.split():
        for signed in {path, path.replace("%2F", "/"), "/in/acct/secret"}:
            query = SecureLink("", SECRET, 600).link(signed.removeprefix("/")).url.partition("?")[2]
            status, body = cdn.raw(f"{path}?{query}", **PURGE)
            assert status in {400, 403, 404}, (path, status)
            assert b"picture" not in body
            assert b"ListBucket" not in body


def test_the_same_file_by_another_spelling_is_the_same_entry(cdn: Cdn) -> None:
    cdn.get()
    query = cdn.url.partition("?")[2]
    job = cdn.key.split("/")[1]
    for spelt in (
        f"/out/{job}%2F3f2a.mp4",
        f"//out/{job}//3f2a.mp4",
        f"/%6fut/{job}/3f2a.mp4",
        f"/x/../{cdn.key}",
    ):
        assert cdn.raw(f"{spelt}?{query}", Range="bytes=0-9") == (206, DATA[:10])


def test_neither_query_nor_headers_reach_the_store_or_split_the_cache(cdn: Cdn) -> None:
    cdn.get()
    url = f"{cdn.url}&list-type=2&uploads&versionId=x&response-content-type=text/html"
    odd = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Amz-Date": "20200101T000000Z",
        "Authorization": "Bearer sk-x",
        "Origin": "https://evil.example",
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "X-CDN-Purge": PURGE_SECRET,
        "Cookie": "a=b",
        "Range": "bytes=0-3",
    }
    answer = requests.get(url, headers=odd, timeout=10)
    assert (answer.status_code, answer.content, answer.headers["X-Cache-Status"]) == (206, DATA[:4], "HIT")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.url.startswith(cdn.nginx.url)


def test_a_player_on_another_site_may_read_ranges(cdn: Cdn) -> None:
    asked = {"Origin": "https://player.example", "Access-Control-Request-Headers": "range"}
    allowed = requests.options(cdn.url, headers=asked, timeout=10)
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert "Range" in allowed.headers["Access-Control-Allow-Headers"]
    exposed = cdn.range(0, 1).headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Content-Range", "Accept-Ranges", "Content-Length", "ETag"} <= set(exposed)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert cdn.get(method=method).status_code == 405
    assert cdn.storage.exists(cdn.key)


def test_the_log_has_the_requests_name_and_not_its_signature(cdn: Cdn) -> None:
    answer = cdn.get(X_Request_ID="trace-me-7", Range="bytes=0-1")
    assert answer.headers["X-Request-ID"] == "trace-me-7"
    made_up = cdn.get(X_Request_ID='"},{"a":"', Range="bytes=0-1").headers["X-Request-ID"]
    assert len(made_up) == 32
    until(lambda: made_up in cdn.nginx.log.read_text())
    lines = [json.loads(line) for line in cdn.nginx.log.read_text().splitlines()]
    (line,) = [line for line in lines if line["request"] == "trace-me-7"]
    assert (line["path"], line["status"], line["range"]) == (f"/{cdn.key}", 206, "bytes=0-1")
    logs = "".join(path.read_text() for path in cdn.nginx.log.parent.glob("*.log"))
    assert "md5=" not in logs


def test_what_is_cached_is_served_while_the_store_is_away_and_what_is_not_is_no_lasting_answer(
    cdn: Cdn,
) -> None:
    cdn.range(0, 1)
    cdn.network.refusing = True
    cdn.network.cut()
    assert cdn.range(10, 19).content == DATA[10:20]
    away = cdn.range(2 * SLICE, 2 * SLICE + 1)
    assert (away.status_code, away.headers["Cache-Control"]) == (502, "no-store")
    cdn.network.refusing = False
    assert cdn.range(2 * SLICE, 2 * SLICE + 1).content == DATA[2 * SLICE : 2 * SLICE + 2]


def test_what_is_too_old_is_served_only_where_the_store_is_away(s3: S3Server, tmp_path: Path) -> None:
    with cdn_over(s3, tmp_path, **{"206 30d": "206 1s"}) as cdn:
        cdn.put()
        assert cdn.range(0, 9).headers["X-Cache-Status"] == "MISS"
        until(lambda: cdn.range(0, 9).headers["X-Cache-Status"] == "EXPIRED")
        cdn.network.refusing = True
        cdn.network.cut()
        until(lambda: cdn.range(0, 9).headers["X-Cache-Status"] == "STALE")
        assert cdn.range(0, 9).content == DATA[:10]
        cdn.network.refusing = False
        cdn.storage.delete(cdn.key)
        until(lambda: cdn.range(0, 9).status_code == 404)


def test_addresses_need_no_signature_where_nginx_is_told_that_they_are_public(
    s3: S3Server, tmp_path: Path
) -> None:
    with cdn_over(s3, tmp_path, "public", purge_secret="") as cdn:
        cdn.put()
        assert cdn.url == f"{cdn.nginx.url}/{cdn.key}"
        answer = cdn.get()
        assert answer.content == DATA
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        for headers in ({}, {"X-CDN-Purge": ""}):  # no secret opens nothing
            assert cdn.raw(f"/purge/{cdn.key}", **headers)[0] == 403
        assert cdn.raw(f"/{cdn.key}%0A")[0] == 404  # which no key ends in: the store was never asked
        assert cdn.raw("/healthz")[0] == 200
        cdn.storage.delete(cdn.key)


def test_a_hit_is_sooner_there_than_a_miss_and_a_signature_costs_little(
    cdn: Cdn, s3: S3Server, tmp_path: Path
) -> None:
    def seconds(session: requests.Session, url: str, start: int) -> float:
        began = time.perf_counter()
        answer = session.get(url, headers={"Range": f"bytes={start}-{start + 65535}"}, timeout=10)
        assert len(answer.content) == 65536
        return time.perf_counter() - began

    starts = [slice * SLICE for slice in range(3)]
    with cdn_over(s3, tmp_path, "public") as public, requests.Session() as session:
        public.put()
        misses, signed, plain = [], [], []
        for turn in range(3):
            fresh = replace(cdn, key=cdn.key.replace("3f2a", f"fresh-{turn}"))
            fresh.put()
            misses += [seconds(session, fresh.url, start) for start in starts]
        for start in starts:
            seconds(session, public.url, start)
        for _ in range(30):
            signed += [seconds(session, fresh.url, start) for start in starts]
            plain += [seconds(session, public.url, start) for start in starts]
        public.storage.delete(public.key)
    hit, miss = median(signed), median(misses)
    print(f"a hit takes {hit / miss:.2f} of a miss; a signed hit {hit / median(plain):.2f} of a public one")
    assert hit < miss


def test_a_store_that_refuses_us_is_no_readers_fault(s3: S3Server, tmp_path: Path) -> None:
    with cdn_over(s3, tmp_path, secret_key="wrong") as cdn:
        cdn.put()
        answer = cdn.get()
        assert (answer.status_code, b"AccessKey" in answer.content) == (502, False)
        cdn.storage.delete(cdn.key)


def test_a_store_is_found_anew_where_it_has_gone_to(s3: S3Server, tmp_path: Path) -> None:
    # Each worker has its own memory of names.
    faster = {"valid=5s": "valid=1s", "worker_processes auto": "worker_processes 1"}
    with (
        hostile.names({}) as names,
        cdn_over(s3, tmp_path, store="store.test", resolver=names.address, **faster) as cdn,
    ):
        cdn.put()
        assert cdn.get().status_code == 502, "nginx starts before its store has a name"
        names.answers["store.test"] = [["127.0.0.9"]]  # nobody listens there
        until(lambda: cdn.range(0, 9).status_code == 502 and names.asked["store.test"] > 0)
        names.answers["store.test"] = [["127.0.0.1"]]
        until(lambda: cdn.range(0, 9).content == DATA[:10])
        cdn.storage.delete(cdn.key)
