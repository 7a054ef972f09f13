"""What the environment may say, and how it is told that it may not."""

from __future__ import annotations

import pytest

from pipeline.spec import ENGINES, EngineId, Model
from renderfarm.settings import Settings, SettingsError

HERE = {"DATABASE_URL": "postgresql://nowhere/none"}


def test_each_value_is_of_its_fields_kind() -> None:
    settings = Settings.from_env({**HERE, "FARM_MAX_SECONDS": "7", "FARM_STALL_SECONDS": "2.5"})
    assert (settings.max_seconds, settings.stall_seconds, settings.development) == (7, 2.5, False)


@pytest.mark.parametrize(
    ("text", "read"), [("1", True), ("True", True), ("no", False), ("0", False), ("", False)]
)
def test_a_yes_or_no_is_read_as_people_write_it(text: str, read: bool) -> None:
    assert Settings.from_env({**HERE, "FARM_DEVELOPMENT": text}).development is read


@pytest.mark.parametrize(
    ("variable", "text"),
    [("FARM_DEVELOPMENT", "perhaps"), ("FARM_MAX_SECONDS", "1.5"), ("FARM_SWEEP_SECONDS", "x")],
)
def test_what_cannot_be_read_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}='{text}' is not a"):
        Settings.from_env({**HERE, variable: text})


def test_a_development_farm_chooses_an_engine_for_each_model() -> None:
    settings = Settings.from_env({**HERE, "FARM_DEVELOPMENT": "1", "ENGINE_V4": "fixed:ms=200,mark=b"})
    assert settings.engine_of(Model.V4) == EngineId("fixed", "1+ms=200,mark=b")
    assert settings.engine_of(Model.V3) == ENGINES[Model.V3]


def test_another_farm_does_not_and_is_told_what_to_do() -> None:
    with pytest.raises(
        SettingsError, match=r"ENGINE_V3='fixed:ms=1' is for development: .* FARM_DEVELOPMENT=1"
    ):
        Settings.from_env({**HERE, "ENGINE_V3": "fixed:ms=1"})


def test_an_engine_that_is_none_is_refused_by_the_variables_name() -> None:
    with pytest.raises(SettingsError, match="ENGINE_V4='slow:ms=1': there is no engine 'slow'"):
        Settings.from_env({**HERE, "FARM_DEVELOPMENT": "1", "ENGINE_V4": "slow:ms=1"})
