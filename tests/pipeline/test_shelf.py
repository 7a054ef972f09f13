"""What was read is kept by its bytes, not by its place."""

from __future__ import annotations

from pathlib import Path

from pipeline.shelf import Shelf


class Reader:
    """Reads files, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, path: Path) -> list[str]:
        self.count += 1
        return [path.read_text()]


def test_the_same_bytes_are_loaded_once_wherever_they_lie(tmp_path: Path) -> None:
    reader, shelf = Reader(), Shelf(2)
    (tmp_path / "a").write_text("tracks")
    (tmp_path / "b").write_text("tracks")
    assert shelf.take(reader.read, tmp_path / "a") is shelf.take(reader.read, tmp_path / "b")
    assert reader.count == 1


def test_other_bytes_in_the_same_place_are_another_thing(tmp_path: Path) -> None:
    reader, shelf = Reader(), Shelf(2)
    path = tmp_path / "tracks"
    for text in ("one", "two", "one"):
        path.write_text(text)
        assert shelf.take(reader.read, path) == [text]
    assert reader.count == 2


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    reader, shelf = Reader(), Shelf(2)
    for name in "abc":
        (tmp_path / name).write_text(name)
    for name in "abacab":
        shelf.take(reader.read, tmp_path / name)
    # b went for c, while a was in use, and came back.
    assert reader.count == 4
