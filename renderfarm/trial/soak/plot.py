"""The picture of a soak: memory by role and connections over the time, with the upgrade marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderfarm.trial.soak.watch import Sample

if TYPE_CHECKING:
    from renderfarm.trial.soak.bench import Soak

#: What is drawn as one line: the most memory first.
_ROLES: Mapping[str, Callable[[str], bool]] = {
    "what draws": lambda name: name.endswith(" drawing"),
    "workers": lambda name: name.startswith("worker") and not name.endswith((" drawing", " child")),
    "workers' children": lambda name: name.endswith(" child"),
    "ingress": lambda name: name.startswith("api"),
    "Flower": lambda name: name == "flower",
    "dispatcher": lambda name: name == "dispatcher",
    "courier": lambda name: name == "courier",
    "exporter": lambda name: name == "exporter",
    "PostgreSQL": lambda name: name == "postgres",
    "Redis": lambda name: name == "redis",
}
_SIZE = (9.0, 6.4)
_DPI = 110


def draw(soak: Soak, path: Path) -> None:
    """Write it as a PNG that is readable at the width of a page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    memory, connections = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    minutes = [sample.at / 60 for sample in soak.samples]
    for name, values in _memory(soak.samples).items():
        memory.plot(minutes, values, label=name, linewidth=1.3)
    memory.set_yscale("log")
    memory.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    memory.set_ylabel("memory, MB")
    for name, values in _connections(soak.samples).items():
        connections.plot(minutes, values, label=name, linewidth=1.3)
    connections.set_ylim(bottom=0)
    connections.set_ylabel("connections")
    connections.set_xlabel("minutes")
    for axes in (memory, connections):
        _mark(axes, soak)
        axes.margins(x=0)
        axes.grid(alpha=0.25)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    memory.set_title(_title(soak), fontsize=10)
    figure.savefig(path)


def _mark(axes: Any, soak: Soak) -> None:
    """When each program was replaced, and the time for warming up."""
    axes.axvspan(0, soak.seconds / 240, color="black", alpha=0.05, linewidth=0)
    for each in soak.replaced:
        axes.axvline(each.at / 60, color="black", linestyle=":", linewidth=0.8, alpha=0.6)


def _title(soak: Soak) -> str:
    orders = sum(soak.orders.values())
    verdict = f"{len(soak.failures)} failures" if soak.failures else "nothing lost, everything flat"
    return (
        f"{orders} orders in {soak.seconds / 60:.0f} minutes: {verdict}\n"
        "grey: warming up; dotted: a program is replaced"
    )


def _memory(samples: Sequence[Sample]) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for role, belongs in _ROLES.items():
        found[role] = [
            sum(seen.megabytes for seen in sample.processes if belongs(seen.name)) or float("nan")
            for sample in samples
        ]
    return found


def _connections(samples: Sequence[Sample]) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(samples))
    for number, sample in enumerate(samples):
        for (who, _), count in sample.connections.items():
            role = "workers" if who.startswith("worker") else "ingress" if who == "api" else who
            found[f"PostgreSQL: {role}"][number] += count
        found["Redis: all"][number] = sample.counts["redis clients"]
    return dict(sorted(found.items()))
