"""Reading a list page by page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.fields import Fields, Whole


class PageQuery(Fields):
    """Which page. Lists with filters, or with cursors of a certain form, add them in a subclass."""

    limit: Annotated[Whole, Field(ge=1, le=100)] = 20
    """How many a page has."""
    cursor: str | None = None
    """The `next_cursor` of the page before."""
