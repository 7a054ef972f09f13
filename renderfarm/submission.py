"""A new job's rows, written by one statement: it is what an ingress under load does most.

What the rows say is worked out by ``jobs.submit``; here is only how they come to be, in the order in which
rows are locked everywhere: assets, then lines, and the account last, since it is the one row that all jobs
of an account want. Each part of the statement waits for what it counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from renderfarm import credits
from renderfarm.bell import WORK
from renderfarm.errors import FarmError

#: What is sent, with the values of ``values_of``.
STATEMENT = f"""
    WITH job AS (
        INSERT INTO jobs (id, account_id, status, kind, stages, mode, model, spec, plan, video, inputs, urls,
            notes, facts, credits, queue_deadline, webhook_url, request_id, traceparent)
        VALUES (%(id)s, %(account_id)s, 'queued', %(kind)s, %(stages)s, %(mode)s, %(model)s, %(spec)s,
            %(plan)s, %(video)s, %(inputs)s, %(urls)s, %(notes)s, %(facts)s, %(credits)s,
            now() + make_interval(secs => %(patience)s), %(webhook_url)s, %(request_id)s, %(traceparent)s)
        RETURNING created_at
    ), asset AS (
        -- With those whose files they use: a foreign key would lock these at the end, after the account.
        SELECT a.id, o.id AS owner FROM assets a JOIN assets o ON o.id = coalesce(a.source_id, a.id)
        WHERE a.id = ANY(%(assets)s::text[]) AND a.deleted_at IS NULL ORDER BY o.id, a.id FOR SHARE
    ), used AS (
        INSERT INTO asset_uses (job_id, asset_id)
        SELECT DISTINCT %(id)s, asset.owner
        FROM unnest(%(assets)s::text[]) AS wanted LEFT JOIN asset ON asset.id = wanted RETURNING 1
    ), lent AS (
        INSERT INTO artifacts (job_id, name, unit_id, attempt, key, size, sha256)
        SELECT %(id)s, CASE WHEN l.many THEN a.name ELSE l.name END,
            a.unit_id, a.attempt, a.key, a.size, a.sha256
        FROM jsonb_to_recordset(%(lent)s) AS l(name text, owner text, theirs text, many boolean)
        -- By the index, whatever a planner thinks of a list whose length it does not know.
        CROSS JOIN LATERAL (SELECT * FROM artifacts WHERE job_id = l.owner OFFSET 0) a
        WHERE CASE WHEN l.many THEN starts_with(a.name, l.theirs) ELSE a.name = l.theirs END
        RETURNING 1
    ), unit AS (
        INSERT INTO units (id, job_id, account_id, stage, index, queue, fast, pins, status, total)
        SELECT id, %(id)s, %(account_id)s, stage, index, queue, fast, pins, 'waiting', total
        FROM jsonb_to_recordset(%(units)s) AS u(id text, stage text, index bigint, queue text, fast boolean,
            pins text, total bigint)
        RETURNING queue, fast
    ), line AS (
        INSERT INTO lines (queue, fast, account_id)
        SELECT DISTINCT queue, fast, %(account_id)s FROM unit ORDER BY queue, fast
        ON CONFLICT (queue, fast, account_id) DO UPDATE SET joined_at = now() RETURNING 1
    ), kept AS (
        DELETE FROM garbage WHERE key = ANY(%(kept)s::text[]) RETURNING 1
    ), written AS (
        SELECT job.created_at, (SELECT count(*) FROM used) + (SELECT count(*) FROM lent)
            + (SELECT count(*) FROM line) + (SELECT count(*) FROM kept) AS others
        FROM job
    ), paid AS (
        -- One that was deleted meanwhile has nothing: the table refuses.
        UPDATE accounts SET held = held + %(hold)s,
            available = CASE WHEN deleted_at IS NULL THEN available - %(hold)s ELSE -1 END FROM written
        WHERE accounts.id = %(account_id)s AND %(hold)s > 0 AND others >= 0
        RETURNING 1
    ), entry AS (
        INSERT INTO ledger_entries (account_id, job_id, kind, available_delta, held_delta)
        SELECT %(account_id)s, %(id)s, 'hold', -%(hold)s, %(hold)s FROM paid RETURNING 1
    )
    SELECT created_at, pg_notify('{WORK}', '') FROM written
    """


@dataclass(frozen=True, slots=True)
class Rows:
    """What is to be written."""

    #: The columns of ``jobs``, but for its times; ``patience`` is how many seconds it may wait.
    job: Mapping[str, Any]
    #: The columns of ``units``, but for what they take from the job.
    units: Sequence[Mapping[str, Any]]
    #: Of assets that it works with the ids, and of those files that are its own from the start, by name, the
    #: job that has each and its name there: one that ends in ``-`` stands for all that begin so, which keep
    #: theirs, and an empty one for all.
    assets: Sequence[str]
    lent: Mapping[str, tuple[str, str]]
    #: Storage keys that are garbage no longer.
    kept: Sequence[str]
    #: Credits to set aside.
    hold: int


def write(connection: psycopg.Connection[Any], rows: Rows) -> datetime:
    """Write a job, its units, their place in the line, its loans and its hold; when that was.

    All of it or nothing, with or without a transaction around it: what would be wrong the tables refuse.
    CS-ORIV-010 where an asset was deleted meanwhile, CS-ORCR-001 where the account has not enough,
    or is no more.
    """
    try:
        row = connection.execute(STATEMENT, values_of(rows), prepare=True).fetchone()
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name == "available_not_negative":
            raise credits.too_few(rows.hold) from error
        raise
    except psycopg.errors.NotNullViolation as error:
        if (error.diag.table_name, error.diag.column_name) == ("asset_uses", "asset_id"):
            raise FarmError("CS-ORIV-010", "A character or scene was deleted just now.") from error
        raise
    assert row is not None, "it returns one"
    created_at: datetime = row[0]
    return created_at


def values_of(rows: Rows) -> dict[str, Any]:
    """The statement's values, by name."""
    job = {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in rows.job.items()
    }
    lent = [
        {"name": name, "owner": owner, "theirs": theirs, "many": not theirs or theirs.endswith("-")}
        for name, (owner, theirs) in rows.lent.items()
    ]
    more = {"assets": sorted(set(rows.assets)), "lent": json.dumps(lent), "units": json.dumps(rows.units)}
    return {**job, **more, "kept": list(rows.kept), "hold": rows.hold}
