"""Reading a list page by page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.fields import Fields, Whole
from renderfarm.models import JobStatus


class PageQuery(Fields):
    """Which page. Lists with filters, or with cursors of a certain form, add them in a subclass."""

    limit: Annotated[Whole, Field(ge=1, le=100)] = 20
    """How many a page has."""
    cursor: str | None = None
    """The `next_cursor` of the page before."""


class JobsQuery(PageQuery):
    """Which jobs."""

    cursor: Annotated[str, Field(pattern="^job_[a-z0-9]{24}$")] | None = None
    """The `next_cursor` of the page before."""
    status: JobStatus | None = None
    """Only these."""


class EntriesQuery(PageQuery):
    """Which movements of credits."""

    cursor: Annotated[str, Field(pattern="^[0-9]{1,18}$")] | None = None
    """The `next_cursor` of the page before."""
