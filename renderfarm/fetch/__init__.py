"""The one client for addresses that users give: it reaches the public internet, and nothing else.

    address.py   what may be asked for: scheme, host, port; and which machines may answer
    names.py     a name resolved, once
    wire.py      a socket to one address, with limits on bytes, silence and time
    client.py    ``Guarded``: fetch and post over all that

No kept library does all of this: requests, httpx and urllib3 resolve names on their own, and the one that
guards them (advocate) has had no release since 2020.
"""

from __future__ import annotations

from renderfarm.fetch.address import Refused, Unreachable, check_address
from renderfarm.fetch.client import Fetched, Guarded, Posted

__all__ = ["Fetched", "Guarded", "Posted", "Refused", "Unreachable", "check_address"]
