"""From one release to the next: what Kubernetes lets nobody change, and what old code must still find."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from renderfarm.migrate import configuration
from tests.deploy.chart.rendered import COMPONENT, VARIANTS, Rendered, render

#: Of every release so far. A Deployment whose selector changes is refused by the cluster.
SELECTOR = ("app.kubernetes.io/name", "app.kubernetes.io/instance", COMPONENT)


def test_selectors_and_names_are_those_of_every_release_before() -> None:
    for values in (VARIANTS["defaults"], VARIANTS["two-pools"]):
        release = render(values)
        for name, found in release.of("Deployment").items():
            assert found["spec"]["selector"] == {
                "matchLabels": dict(zip(SELECTOR, ("renderfarm", "demo", name), strict=True))
            }
            assert found["metadata"]["name"] == f"demo-renderfarm-{name}"


def test_nothing_that_changes_with_a_release_is_part_of_a_selector(release: Rendered) -> None:
    for found in release.objects:
        selector = found.get("spec", {}).get("selector", {})
        labels = selector.get("matchLabels", selector)
        assert set(labels) <= set(SELECTOR)


def test_no_component_is_ever_without_a_pod_but_for_gpus_and_flowers_file(release: Rendered) -> None:
    for name, found in release.of("Deployment").items():
        strategy = found["spec"].get("strategy", {})
        if name in {"api", "dispatcher", "courier"}:
            assert strategy == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        grace = found["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        assert grace >= {"api": 60, "courier": 20, "worker-v3": 90, "worker-v4": 90}.get(name, 0)


#: What code of the release before would trip over: it runs beside the new tables until the last pod is new.
TRIPS = re.compile(
    r"\b(DROP (TABLE|COLUMN|TYPE|FUNCTION|TRIGGER|VIEW)|RENAME|SET NOT NULL|ALTER COLUMN \S+ TYPE"
    r"|ADD COLUMN (?!.*\bDEFAULT\b).*\bNOT NULL|ADD CONSTRAINT|CREATE UNIQUE INDEX)\b"
)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE jobs DROP COLUMN mode",
        "DROP TABLE lines",
        "ALTER TABLE jobs RENAME mode TO kind",
        "ALTER TABLE jobs ALTER COLUMN mode SET NOT NULL",
        "ALTER TABLE jobs ALTER COLUMN credits TYPE INTEGER",
        "ALTER TABLE jobs ADD COLUMN x VARCHAR NOT NULL",
    ],
)
def test_what_old_code_trips_over_is_known(statement: str) -> None:
    assert TRIPS.search(statement)


def statements() -> Iterator[str]:
    """What each migration after the first tells the database."""
    scripts = ScriptDirectory.from_config(configuration())
    for revision in reversed(list(scripts.walk_revisions("0001", "heads"))[:-1]):
        sql = io.StringIO()
        offline = {"as_sql": True, "output_buffer": sql, "literal_binds": True}
        with Operations.context(MigrationContext.configure(dialect_name="postgresql", opts=offline)):
            revision.module.upgrade()
        yield from filter(None, (" ".join(part.split()) for part in sql.getvalue().split(";\n")))


def test_migrations_only_add() -> None:
    found = list(statements())
    assert any(statement.startswith("ALTER TABLE jobs ADD COLUMN") for statement in found)
    assert [statement for statement in found if TRIPS.search(statement)] == []
