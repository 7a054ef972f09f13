"""What stands in front of a driver is found by an edge that goes right across them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.ledge import edge_across

HEIGHT, WIDTH, DESK = 120, 160, 96


def shot(*, in_front: bool, moving: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Twelve frames of somebody before or behind a desk; a hand waves. A matte that goes down to the edge."""
    frames, bodies = [], []
    for number in range(12):
        frame = np.full((HEIGHT, WIDTH), 90, np.uint8)
        body = np.zeros_like(frame)
        body[20:, 60:100] = 255
        hand = np.s_[60:70, 60 + 3 * number : 70 + 3 * number]
        desk = DESK + moving * number

        def person(frame: np.ndarray = frame, hand: tuple[slice, slice] = hand) -> None:
            frame[20:, 60:100] = 40
            frame[75:78, 60:100] = 200  # a belt
            frame[hand] = 220

        if in_front:
            person()
        frame[desk:] = 140
        if not in_front:
            person()
        frames.append(frame)
        bodies.append(body)
    return frames, bodies


def test_a_desk_in_front_is_found_where_it_begins() -> None:
    assert edge_across(*shot(in_front=True), below=40) == pytest.approx(DESK, abs=2)


def test_a_desk_behind_is_none_and_a_belt_is_none() -> None:
    assert edge_across(*shot(in_front=False), below=40) is None


def test_what_moves_is_no_desk() -> None:
    assert edge_across(*shot(in_front=True, moving=2), below=40) is None


def test_without_frames_there_is_no_desk() -> None:
    assert edge_across([], [], below=0) is None
