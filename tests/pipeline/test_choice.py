"""What a setting may choose to draw with, and what it says of it in a version."""

from __future__ import annotations

import pytest

from pipeline.choice import Fixed, chosen, engine_of
from pipeline.spec import ENGINES, EngineId, Model


def test_without_a_word_each_model_has_its_own_engine() -> None:
    assert chosen("") is None
    assert {model: engine_of(model) for model in Model} == dict(ENGINES)


def test_all_that_is_told_to_the_fixed_engine_is_in_its_version() -> None:
    assert engine_of(Model.V4, "fixed:ms=200") == EngineId("fixed", "1+ms=200")
    assert engine_of(Model.V3, "fixed: mark=b , ms=5") == EngineId("fixed", "1+ms=5,mark=b")
    assert chosen("fixed:ms=0") == Fixed(0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("swift:ms=3", "no engine 'swift'"),
        ("fixed", "no option ''"),
        ("fixed:mark=b", "ms=''"),
        ("fixed:ms=-1", "ms='-1'"),
        ("fixed:ms=1.5", "ms='1.5'"),
        ("fixed:ms=30001", "from 0 to 30000"),
        ("fixed:ms=1,ms=2", "ms is given twice"),
        ("fixed:ms=1,fps=2", "no option 'fps'"),
        ("fixed:ms=1,mark=", "mark=''"),
        ("fixed:ms=1,mark=A b", "mark='A b'"),
    ],
)
def test_what_is_unknown_or_no_value_is_refused_by_its_name(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        engine_of(Model.V4, text)
