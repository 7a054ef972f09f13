"""The numbers to hold: what must be reached and what is aimed at, by model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.spec import Model

Row = Mapping[str, Any]
#: What must be reached, and the goal.
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """One number: the rows' key, what it is called, and its bars."""

    key: str
    label: str
    #: One for all models, or each its own.
    pairs: Pair | Mapping[Model, Pair]
    #: "made" or "real": whose rows it is a number of.
    of: str = "made"
    #: Larger is better.
    most: bool = False
    show: Callable[[float], str] = "{:.3f}".format
    #: Only the worst scene counts, not the mean.
    exact: bool = False

    def pair(self, model: Model) -> Pair:
        return self.pairs[model] if isinstance(self.pairs, Mapping) else self.pairs

    def meets(self, value: float, wanted: float) -> bool:
        return value >= wanted if self.most else value <= wanted


def _each(v3: Pair, v4: Pair) -> Mapping[Model, Pair]:
    return {Model.V3: v3, Model.V4: v4}


_DB, _PERCENT, _TIMES = "{:.1f} dB".format, "{:.2%}".format, "{:.2f}x".format
BARS: tuple[Bar, ...] = (
    Bar("akd", "AKD", _each((0.06, 0.04), (0.045, 0.03))),
    Bar("mkr", "MKR", _each((0.03, 0.01), (0.02, 0.01))),
    Bar("akd", "AKD, real clips", _each((0.10, 0.07), (0.08, 0.06)), of="real"),
    Bar("iou", "mask IoU", (0.93, 0.95), most=True),
    Bar("plate_seen", "plate, seen", (34, 36), most=True, show=_DB),
    Bar("plate_unseen", "plate, never seen", (20, 24), most=True, show=_DB),
    Bar("ghost", "ghost", (0.005, 0.002), show=_PERCENT),
    Bar("jitter", "jitter", _each((1.15, 1.05), (1.1, 1.0)), show=_TIMES),
    Bar("ids_lost", "ids lost", (0, 0), show="{:.0f}".format, exact=True),
    Bar("frames_off", "frames off", (0, 0), show="{:.0f}".format, exact=True),
    Bar("duration_off", "duration off", (0, 0), show="{:.3f} s".format, exact=True),
    Bar("sound_ms", "sound off", (0, 0), show="{:.2f} ms".format, exact=True),
)


def summary(made: Sequence[Row], real: Sequence[Row]) -> list[dict[str, Any]]:
    """For each bar and model that has rows: the value, the worst scene, what must be, and the verdict."""
    found = []
    for bar in BARS:
        for model in Model:
            rows = [r for r in (made if bar.of == "made" else real) if r["model"] == model.value]
            values = {row["scene"]: value for row in rows if (value := row.get(bar.key)) is not None}
            if values:
                found.append(_verdict(bar, model, values))
    return found


def _verdict(bar: Bar, model: Model, values: Mapping[str, float]) -> dict[str, Any]:
    worst = (min if bar.most else max)(values, key=lambda name: values[name])
    value = values[worst] if bar.exact else sum(values.values()) / len(values)
    must, goal = bar.pair(model)
    verdict = "goal" if bar.meets(value, goal) else "held" if bar.meets(value, must) else "missed"
    return {
        "number": bar.label,
        "model": model.value,
        "value": value,
        "worst": values[worst],
        "worst_scene": worst,
        "must": must,
        "goal": goal,
        "verdict": verdict,
    }


def table(verdicts: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The summary in words: a row for each bar, a column for each model."""
    shows = {bar.label: bar.show for bar in BARS}
    rows: dict[str, dict[str, str]] = {}
    for one in verdicts:
        show = shows[one["number"]]
        row = rows.setdefault(one["number"], {"number": one["number"]})
        mark = {"goal": "", "held": "", "missed": " (missed)"}[one["verdict"]]
        worst = (
            f", worst {show(one['worst'])} in {one['worst_scene']}" if one["worst"] != one["value"] else ""
        )
        row[one["model"]] = f"{show(one['value'])}{mark}{worst}"
        row[f"{one['model']} must / goal"] = f"{show(one['must'])} / {show(one['goal'])}"
    return list(rows.values())
