"""Small programs in the place of ``python -m pipeline serve``: one behaves, the others do not."""

import sys


def program(name: str) -> tuple[str, ...]:
    """The command of one of them; it runs where the tests run."""
    return (sys.executable, "-m", f"{__name__}.{name}")
