"""The artifact that all later stages read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.perception.tracks import JOINTS, Person, Tracks


def made(camera: bool) -> Tracks:
    random = np.random.default_rng(3)
    joints = random.random((7, JOINTS, 4), np.float32)
    joints[2] = np.nan
    person = Person("person_0123abcd", joints, np.isfinite(joints[:, 0, 0]), np.zeros(len(joints), np.int16))
    return Tracks((person,), (3, 5), (320, 180), np.tile(np.eye(3) * 2, (7, 1, 1)) if camera else None)


def test_tracks_come_back_as_they_were_saved(tmp_path: Path) -> None:
    for camera in (False, True):
        tracks = made(camera)
        tracks.save(tmp_path / "tracks.npz")
        back = Tracks.load(tmp_path / "tracks.npz")
        assert back.cuts == (3, 5)
        assert back.matte_size == (320, 180)
        assert [person.id for person in back.people] == ["person_0123abcd"]
        np.testing.assert_array_equal(back.people[0].joints, tracks.people[0].joints)
        np.testing.assert_array_equal(back.people[0].present, tracks.people[0].present)
        if tracks.camera is None:
            assert back.camera is None
        else:
            np.testing.assert_array_equal(back.camera, tracks.camera)


def test_the_same_tracks_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made(camera=True).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tracks_of_nobody_are_possible(tmp_path: Path) -> None:
    Tracks((), (), (10, 10)).save(tmp_path / "tracks.npz")
    assert Tracks.load(tmp_path / "tracks.npz").people == ()
