"""What judges a soak, on made series and made logs. ``farm bench soak`` has the soak itself."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from renderfarm.trial.soak import lines
from renderfarm.trial.soak.bench import Soak
from renderfarm.trial.soak.judge import MEMORY, Bound, Point, Series, judge, series_of
from renderfarm.trial.soak.lines import known, loud, read
from renderfarm.trial.soak.plot import draw
from renderfarm.trial.soak.rolling import Replaced
from renderfarm.trial.soak.watch import Sample, Seen

WHOLE = 1800.0


def _life(begin: float, end: float, start: float, per_hour: float, noise: float = 0.0) -> list[Point]:
    dice = random.Random(7)
    moments = [begin + 3 * n for n in range(int((end - begin) / 3))]
    return [(at, start + per_hour * (at - begin) / 3600 + dice.uniform(-noise, noise)) for at in moments]


def _judged(*lives: list[Point], bound: Bound = MEMORY, peaks: bool = False) -> str:
    return judge(Series("memory", lives, bound, peaks), WHOLE).wrong


def test_what_stays_and_shakes_is_flat() -> None:
    assert not _judged(_life(0, WHOLE, 100, 0, noise=15))


def test_what_grows_while_it_warms_up_is_flat() -> None:
    warming = [(at, min(100.0, 20 + at / 4)) for at, _ in _life(0, WHOLE, 0, 0)]
    assert not _judged(warming)


def test_a_leak_is_found_below_the_noise() -> None:
    assert "grows by" in _judged(_life(0, WHOLE, 100, 40, noise=8))


def test_a_leak_is_found_though_the_process_is_replaced() -> None:
    """Each begins where the one before began: from the second quarter to the last there is no difference."""
    before, after = _life(0, WHOLE / 2, 100, 90), _life(WHOLE / 2, WHOLE, 100, 90)
    assert "grows by" in _judged(before, after)


def test_a_new_process_that_takes_more_than_the_old_is_found() -> None:
    wrong = _judged(_life(0, WHOLE / 2, 100, 0), _life(WHOLE / 2, WHOLE, 130, 0))
    assert wrong == "is 130 at the end, not 118"


def test_a_leap_late_in_the_soak_is_found() -> None:
    early, late = _life(0, 3 * WHOLE / 4, 100, 0), _life(3 * WHOLE / 4, WHOLE, 130, 0)
    assert "at the end" in _judged(early + late)


def test_a_slope_that_comes_to_nothing_in_a_short_time_is_none() -> None:
    assert not judge(Series("memory", [_life(0, 60, 100, 200)], MEMORY), 60).wrong


def test_what_draws_is_judged_by_its_peaks() -> None:
    busy = [(at, 900.0 if n % 40 == 0 else 500.0) for n, (at, _) in enumerate(_life(0, WHOLE, 0, 0))]
    assert not _judged(busy, peaks=True)
    late = [(at, value + 200 * (at > 1600 and value > 600)) for at, value in busy]
    assert "1100 at the end" in _judged(late, peaks=True)


def _samples(leak_per_hour: float = 0.0) -> list[Sample]:
    found = []
    for at in range(0, int(WHOLE), 30):
        old = at < WHOLE / 2
        courier = Seen("courier", 1 if old else 2, 70 + leak_per_hour * at / 3600, 20, 18)
        drawing = Seen("worker-v3 drawing", 3, 400 + at % 90, 30, 9)
        counts = {"redis clients": 9.0, "garbage overdue": 0.0}
        found.append(
            Sample(float(at), (courier, drawing), {("courier", "idle"): 4, ("api", "active"): 1}, counts)
        )
    return found


def test_every_process_and_count_is_judged_by_its_own_bound() -> None:
    verdicts = {each.name: judge(each, WHOLE) for each in series_of(_samples(leak_per_hour=100))}
    assert {name for name, verdict in verdicts.items() if verdict.wrong} == {"courier, MB"}
    assert {"courier, files", "connections of courier", "redis clients", "worker-v3 drawing, MB"} <= set(
        verdicts
    )


def test_the_picture_is_a_png_of_a_page_s_width(tmp_path: Path) -> None:
    from PIL import Image

    draw(
        Soak(WHOLE, _samples(), [Replaced("courier", 900, 2)], orders={"render: complete": 9}),
        tmp_path / "a.png",
    )
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert 800 <= picture.width <= 1200


_WORKER = "2026-11-30 19:20:00,123 {} v4 job_{}:segment:0#1 no heartbeat: {}"
#: A line of each program at a level that counts, as each writes it, and what is left of it.
_LOUD = [
    ("worker-v4", _WORKER.format("WARNING", "a" * 24, "gone"), "WARNING", "no heartbeat: gone"),
    ("dispatcher", "ERROR renderfarm.dispatch: x failed", "ERROR", "renderfarm.dispatch: x failed"),
    ("api", "[2026-11-30 19:20:00 +0000] [123] [ERROR] Exception in worker", "ERROR", "Exception in worker"),
    ("postgres", "2026-11-30 19:20:00.123 UTC [12] FATAL:  too many", "FATAL", "too many"),
    ("redis", "12:M 30 Nov 2026 19:20:00.123 # Out of memory", "#", "Out of memory"),
    ("supervisor", "2026-11-30 19:20:00,123 CRIT killed", "CRIT", "killed"),
    ("courier", '{"level": "warning", "message": "given up", "logger": "x"}', "WARNING", "given up"),
    ("flower", "Segmentation fault", lines.UNKNOWN, "Segmentation fault"),
]


@pytest.mark.parametrize(("program", "text", "level", "message"), _LOUD, ids=[each[0] for each in _LOUD])
def test_a_line_of_each_program_is_read(program: str, text: str, level: str, message: str) -> None:
    [line] = read(program, [text])
    assert (line.level, line.message, line.loud) == (level, message, True)


def test_what_programs_say_in_peace_is_not_loud() -> None:
    told = {
        "worker-v4": _WORKER.format("INFO   ", "a" * 24, "none"),
        "courier": "INFO renderfarm.courier: msg_1 delivered",
        "api": "[2026-11-30 19:20:00 +0000] [123] [INFO] Booting worker",
        "postgres": "2026-11-30 19:20:00.123 UTC [12] LOG:  ready",
        "redis": "12:M 30 Nov 2026 19:20:00.123 * Ready to accept connections",
        "supervisor": "2026-11-30 19:20:00,123 INFO spawned: 'api' with pid 1",
        "dispatcher": '{"level": "info", "message": "admitted"}',
    }
    assert not [line for name, text in told.items() for line in read(name, [text]) if line.loud]


def test_a_traceback_belongs_to_the_line_before_it() -> None:
    text = ["ERROR x: failed", "Traceback (most recent call last):", '  File "a.py"', "INFO x: goes on"]
    first, second = read("dispatcher", text)
    assert first.message == 'x: failed | Traceback (most recent call last): | File "a.py"'
    assert second.level == "INFO"


def test_lines_of_one_shape_are_counted_and_only_what_is_known_is_not_minded(tmp_path: Path) -> None:
    names = ("abc" * 8, "xyz" * 8)
    (tmp_path / "worker-v4.log").write_text(_WORKER.format("WARNING", names[0], "attempt 7") + "\n")
    (tmp_path / "worker-v4-2.log").write_text(_WORKER.format("WARNING", names[1], "attempt 31") + "\n")
    (tmp_path / "courier.log.1").write_text("ERROR renderfarm.courier: msg_" + names[0] + " is lost\n")
    knowns = [known("worker-v4", "^no heartbeat", "a worker hands over")]
    lost, late = loud(tmp_path, knowns)
    assert (lost.program, lost.shape, lost.reason) == ("courier", "renderfarm.courier: <id> is lost", "")
    assert (late.count, late.shape, late.reason) == (2, "no heartbeat: attempt <n>", "a worker hands over")
    assert [line.partition(":")[0] for line in Soak(1, said=[lost, late]).failures] == ["1 x courier"]
