"""What a view takes and what it answers, said once beside it: checked by it, and documented from it.

    @blueprint.get("/<job_id>")
    @operation(path=JOB, query=PageQuery, key=True, answers=JobPage, codes=("CS-UORC01-112",))
    def page(job_id: str, account: Account, query: PageQuery) -> Response: ...

The view is called with what was declared and has been checked: the ids of the path, ``account`` where a
``key`` is needed, ``query`` where there is a model for it. The body is read by the view itself, as its files
go straight into the store: ``body`` only says which fields and files may be there. The docstring's
first line is the summary. The codes of keys, rate limits and outages are added here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel
from werkzeug.datastructures import MultiDict

from api.auth import require_account
from api.fields import Fields
from renderfarm.accounts import Scope
from renderfarm.errors import TABLE, FarmError

_T = TypeVar("_T")

#: Where a view keeps what was declared of it.
_NAME = "operation"


@dataclass(frozen=True, slots=True)
class PathId:
    """An id in a path: one of another form answers its code, and no database is asked."""

    name: str
    pattern: str
    code: str

    def check(self, value: object) -> None:
        if not re.fullmatch(self.pattern, str(value)):
            raise FarmError(self.code)


#: The id of a job.
JOB = PathId("job_id", "job_[a-z0-9]{24}", "CS-UORC01-110")


@dataclass(frozen=True, slots=True)
class Body:
    """A form: its fields as any kind of form, its files (name and description) as multipart alone."""

    fields: type[BaseModel]
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    #: Its answer's model, or its content type where it answers no JSON.
    answers: type[BaseModel] | str
    status: int
    #: Other answers that are no errors, by status: what each means, and its model or content type.
    also: Mapping[int, tuple[str, type[BaseModel] | str | None]]
    #: What it refuses with, by codes of the table.
    codes: tuple[str, ...]
    key: bool
    #: What its key has to be good for, where its method does not say.
    scope: Scope | None
    path: PathId | None
    query: type[Fields] | None
    body: Body | None
    #: Request headers, as OpenAPI writes parameters.
    headers: tuple[dict[str, Any], ...]
    #: Whether how often it is asked is limited.
    limited: bool

    @property
    def all_codes(self) -> list[str]:
        """Every code it may be refused with, in the order of the table."""
        codes = set(self.codes) | {"CS-UORC01-199"}
        if self.key:
            codes |= {"CS-ORAU-001", "CS-ORAU-002"} | ({"CS-UORC01-119"} & set(TABLE))
        if self.limited:
            codes.add("CS-UORC01-111")
        if self.path:
            codes.add(self.path.code)
        if self.query or self.body:
            codes.add("CS-UORC01-002")
        # A body may come with any method, and is refused by its length before it is looked at.
        codes.add("CS-ORIV-005")
        return [code for code in TABLE if code in codes]


def operation(
    *,
    answers: type[BaseModel] | str,
    status: int = 200,
    also: Mapping[int, tuple[str, type[BaseModel] | str | None]] | None = None,
    codes: tuple[str, ...] = (),
    key: bool = False,
    scope: Scope | None = None,
    path: PathId | None = None,
    query: type[Fields] | None = None,
    body: Body | None = None,
    headers: tuple[dict[str, Any], ...] = (),
    limited: bool = True,
) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
    """Declare a view; see the module."""
    declared = Operation(
        answers=answers,
        status=status,
        also=also or {},
        codes=codes,
        key=key,
        scope=scope,
        path=path,
        query=query,
        body=body,
        headers=headers,
        limited=limited,
    )

    def declare(view: Callable[..., _T]) -> Callable[..., _T]:
        @wraps(view)
        def checked(**given: Any) -> _T:
            # The key before all else: to strangers even a wrong id looks like a right one.
            if declared.key:
                given["account"] = require_account(declared.scope)
            if declared.path:
                declared.path.check(given[declared.path.name])
            if declared.query:
                given["query"] = declared.query.read(_once(request.args, declared.query))
            return view(**given)

        setattr(checked, _NAME, declared)
        return checked

    return declare


def operation_of(view: Callable[..., object]) -> Operation | None:
    """What was declared of a view."""
    return getattr(view, _NAME, None)


def _once(sent: MultiDict[str, str], model: type[Fields]) -> dict[str, str]:
    """The parameters that the model knows; CS-UORC01-002 for one with two values."""
    for name in model.model_fields:
        if len(set(sent.getlist(name))) > 1:
            raise FarmError("CS-UORC01-002", f"`{name}` was given more than once.")
    return sent.to_dict()
