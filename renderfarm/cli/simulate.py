"""``farm simulate``: how a farm of so many workers would fare, and what it would cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from renderfarm.cli.common import as_json, emit, table
from renderfarm.local.errors import StackError
from renderfarm.simulate import ENGINES

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHARE = click.FloatRange(0, 1)


class _Workers(click.ParamType[dict[str, int]]):
    """So many workers, ``4``; or as many as are wanted between two numbers, ``0..20``."""

    name = "workers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, int]:
        found = re.fullmatch(r"(\d{1,5})(?:\.\.(\d{1,5}))?", str(value))
        if isinstance(value, dict):
            return value
        if found is None:
            self.fail("not such as 4, or 0..20", param, ctx)
        return {"least": int(found[1]), "most": int(found[2] or 0)}


_WORKERS = _Workers()


@click.command()
@click.argument("scenario", required=False, type=_FILE)
@click.option(
    "--engine", type=click.Choice(ENGINES), default="embedded", show_default=True, help="gpu: an assumption."
)
@click.option("--jobs-per-hour", type=float, help="How many come, by chance.")
@click.option("--hours", type=float, help="For how long they come.")
@click.option("--profile", metavar="N,N,...", help="How they are spread over the hours, in equal parts.")
@click.option("--trace", type=_FILE, help="A CSV file of orders: at[,model,seconds,fast,account].")
@click.option("--seconds", type=float, help="The median length of a clip.")
@click.option("--spread", type=float, help="The sigma of its logarithm; 0: all are as long.")
@click.option("--share-v3", "v3_share", type=_SHARE, help="Of the jobs, those for V3; the rest is for V4.")
@click.option("--share-fast", "fast", type=_SHARE, help="Fast ones.")
@click.option("--share-prepared", "prepared", type=_SHARE, help="Those of a stored character and scene.")
@click.option("--accounts", type=int, help="How many send them.")
@click.option("--v3", type=_WORKERS, help="Workers of V3: 4, or 0..20 by what waits and runs.")
@click.option("--v4", type=_WORKERS, help="Workers of V4.")
@click.option("--cpu", type=_WORKERS, help="Workers that stitch.")
@click.option("--frames", metavar="V3,V4", help="Frames a second that a worker draws.")
@click.option("--slo", "slo_seconds", type=float, help="Seconds within which a job should begin.")
@click.option("--seed", type=int, help="Of the chance in it.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="A PNG to draw it into.")
@as_json
def simulate(
    scenario: Path | None,
    engine: str,
    trace: Path | None,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Simulate a farm: waits, queues, utilisation and cost of a demand that is made up.

    SCENARIO is a TOML file with any of it, over what is known of the engine (renderfarm/simulate/engines);
    options go over both. The same seed gives the same numbers.
    """
    from renderfarm.simulate.demand import orders, orders_in
    from renderfarm.simulate.farm import simulate as run
    from renderfarm.simulate.outcome import figures
    from renderfarm.simulate.scenario import ScenarioError, engine_layer, layer_of, scenario_of

    try:
        layers = [engine_layer(engine), layer_of(scenario) if scenario else {}, _layer(options)]
        asked = scenario_of(*layers)
        sent = orders_in(trace, asked.demand, asked.seed) if trace else orders(asked.demand, asked.seed)
        outcome = run(asked, sent)
        if not outcome.renders:
            raise ScenarioError("every job is fast, and none of them finds two free workers")
    except ScenarioError as error:
        raise StackError(f"This cannot be simulated: {error}.", "See `farm simulate --help`.") from error
    if plot:
        from renderfarm.simulate.plot import plot as draw

        draw(asked, outcome, plot)
    found = figures(asked, outcome)
    emit(found, as_json, lambda: _show(found))


def _layer(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say, in the scenario's own words."""
    given = {name: value for name, value in options.items() if value is not None}
    layer: dict[str, Any] = {name: given.pop(name) for name in ("seed", "slo_seconds") if name in given}
    layer["pools"] = {queue: given.pop(queue) for queue in ("v3", "v4", "cpu") if queue in given}
    if "frames" in given:
        rates = zip(("v3", "v4"), _numbers("--frames", given.pop("frames")), strict=False)
        layer["costs"] = {queue: {"segment": {"frame": 1 / rate}} for queue, rate in rates if rate}
    if "profile" in given:
        given["profile"] = _numbers("--profile", given["profile"])
    if "v3_share" in given:
        given["v3"] = given.pop("v3_share")
    return {**layer, "demand": given}


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"{option} {text!r} are not numbers with commas between them.") from error


def _show(found: Mapping[str, Any]) -> None:
    slo = f"within {found['slo_seconds']:g} s"
    waits = [
        {
            "jobs": kind,
            "": told["jobs"],
            **{f"wait {name}": _time(seconds) for name, seconds in told["wait"].items()},
            slo: f"{100 * told['within_slo']:.1f}%",
            **{f"done {name}": _time(told["whole"][name]) for name in ("p50", "p95", "p99")},
        }
        for kind, told in found["waits"].items()
        if told
    ]
    table(list(waits[0]), waits)
    pools = [{"pool": queue, **told} for queue, told in found["pools"].items()]
    for row in pools:
        busy = row["utilisation"]
        row["utilisation"] = "" if busy is None else f"{100 * busy:.1f}%"
    table(list(pools[0]), pools)
    cost, minutes = found["cost"], found["video_minutes"]
    parts = ", ".join(f"{name} ${cost[name]:.2f}" for name in ("gpu", "cpu", "traffic"))
    click.echo(f"{minutes:g} minutes of video for ${cost['of_all']:.2f} ({parts}):", nl=False)
    click.echo(f" ${cost['of_a_minute_of_video']:.4f} a minute, by prices that are assumed")
    if found["refused_fast"]:
        click.echo(f"{found['refused_fast']} fast jobs were refused: no two workers were free.")
    if found["past_queue_deadline"]:
        click.echo(
            f"{found['past_queue_deadline']} jobs waited beyond their deadline, and would have failed."
        )


def _time(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}" if minutes else f"{seconds:.2f} s"
