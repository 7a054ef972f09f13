"""Waits, queues and pools over the time, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from renderfarm.simulate.outcome import Outcome
from renderfarm.simulate.scenario import Scenario

_HOUR, _MINUTE = 3600.0, 60.0


def plot(scenario: Scenario, outcome: Outcome, path: Path) -> None:
    """Write a PNG: each job's wait and time, units that wait in each queue, workers there and at work."""
    figure = Figure(figsize=(10, 9), dpi=110, layout="constrained")
    waits, queues, workers = figure.subplots(3, 1, sharex=True)
    _draw_waits(waits, scenario, outcome)
    hours = [sample.at / _HOUR for sample in outcome.samples]
    for queue in _used(outcome):
        live, busy, waiting = zip(*(sample.pools[queue] for sample in outcome.samples), strict=True)
        queues.step(hours, waiting, where="post", label=queue)
        [line] = workers.step(hours, busy, where="post", label=f"{queue} at work")
        workers.step(hours, live, where="post", label=f"{queue} there", color=line.get_color(), ls="--", lw=1)
    for axes, name in ((queues, "units that wait"), (workers, "workers")):
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper left", ncols=2, fontsize="small")
    workers.set_xlabel("hours")
    figure.savefig(path, format="png")


def _draw_waits(axes: Axes, scenario: Scenario, outcome: Outcome) -> None:
    at = [render.order.at / _HOUR for render in outcome.renders]
    series: tuple[tuple[str, Sequence[float]], ...] = (
        ("until its end", [render.whole / _MINUTE for render in outcome.renders]),
        ("until it begins", [render.wait / _MINUTE for render in outcome.renders]),
    )
    for name, minutes in series:
        axes.plot(at, minutes, ".", markersize=3, label=name)
    axes.axhline(scenario.slo_seconds / _MINUTE, color="grey", lw=1, ls=":", label="to begin within")
    axes.set_ylabel("minutes of a job")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize="small")


def _used(outcome: Outcome) -> list[str]:
    """The queues in which anything happened."""
    return [queue for queue, use in outcome.pools.items() if use.most_waiting]
