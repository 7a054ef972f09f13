"""``python -m pipeline quality``: all scenes, two at a time, and the numbers beside their bars."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.quality.bars import summary, table
from pipeline.quality.scenes import made_scenes
from pipeline.spec import Model


def measure(
    *,
    seed: int = 0,
    full: bool = False,
    models: Sequence[Model] = tuple(Model),
    only: Sequence[str] = (),
    real: Path | None = None,
    sheets: Path | None = None,
    jobs: int = 2,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """``made`` and ``real``: a row a scene and model; ``summary``: the numbers beside their bars;
    ``table``: the summary in words.

    ``only`` are names of made scenes or ``real``; raises ``ValueError`` for another name. ``real`` is the
    folder with the real clips, which are left out where it is missing. ``jobs`` scenes are worked on at
    once, each in a process of its own; ``tell`` hears of each that is done.
    """
    names = [scene.name for scene in made_scenes(seed, full=full)]
    if unknown := set(only) - {*names, "real"}:
        raise ValueError(f"there is no scene {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    tasks: list[tuple[Callable[..., list[dict[str, Any]]], tuple[Any, ...]]] = [
        (_made, (name, seed, full, tuple(models), sheets)) for name in names if not only or name in only
    ]
    if real is not None and (not only or "real" in only):
        tasks += [(_real, (*pair, model, full, sheets)) for pair in _pairs(real, full) for model in models]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [(task, pool.submit(task, *arguments)) for task, arguments in tasks]
        done = []
        for count, (task, future) in enumerate(waiting, 1):
            rows = future.result()
            done.append((task, rows))
            tell(f"{count}/{len(tasks)} {rows[0]['scene']}")
    made, of_real = ([row for task, rows in done if task is kind for row in rows] for kind in (_made, _real))
    verdicts = summary(made, of_real)
    return {"made": made, "real": of_real, "summary": verdicts, "table": table(verdicts)}


def _made(name: str, seed: int, full: bool, models: tuple[Model, ...], sheets: Path | None) -> list[Any]:
    from pipeline.quality.made import judge_made
    from pipeline.threads import fix_threads

    fix_threads()
    scene = next(scene for scene in made_scenes(seed, full=full) if scene.name == name)
    return judge_made(scene, models, sheets)


def _real(video: Path, picture: Path, model: Model, full: bool, sheets: Path | None) -> list[Any]:
    from pipeline.quality.real import judge_real
    from pipeline.threads import fix_threads

    fix_threads()
    return [judge_real(video, picture, model, full=full, sheets=sheets)]


def _pairs(folder: Path, full: bool) -> list[tuple[Path, Path]]:
    from pipeline.quality.real import MORE_PAIRS, PAIRS

    pairs = [(folder / video, folder / picture) for video, picture in PAIRS + (MORE_PAIRS if full else ())]
    return [pair for pair in pairs if all(path.is_file() for path in pair)]
