"""What clients send by name, in a form or in an address: models that refuse with a code of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from renderfarm.errors import FarmError

_INVALID = "CS-UORC01-002"


class Fields(BaseModel):
    """Named texts. Empty ones count as absent, and names that the model does not know as not sent."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    #: The code of a field that fails validation, where it is not CS-UORC01-002.
    codes: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Self:
        """The model of these fields; raises ``FarmError`` that names the first one that is wrong."""
        given = {name: value.strip() for name, value in fields.items() if value.strip()}
        for name, value in given.items():
            if name in cls.model_fields and not _is_text(value):
                raise FarmError(_INVALID, f"`{name}` holds characters that are no text.")
        try:
            return cls.model_validate(given)
        except RecursionError as error:  # JSON nested without end
            raise FarmError(cls.codes.get("character_mapping", _INVALID)) from error
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            name = str(wrong["loc"][0])
            reason = f"{wrong['msg'][:1].lower()}{wrong['msg'][1:]}"
            message = f"`{name}` is {given.get(name, '')[:60]!r}: {reason}."
            raise FarmError(cls.codes.get(name, _INVALID), message) from error


def _is_text(value: str) -> bool:
    """Whether a row can keep it: neither NUL nor half of a character that takes two in UTF-16."""
    return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def _digits(value: object) -> object:
    """Only plain digits are a number here: no sign, no space, no underscore, and no other script's."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise ValueError("not a whole number")
    return value


#: A whole number from 0 that fits 64 bits, written in plain digits.
Whole = Annotated[int, BeforeValidator(_digits)]
