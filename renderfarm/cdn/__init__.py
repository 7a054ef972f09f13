"""How the outside fetches a finished file, and how a file that is deleted leaves the caches.

links.py   the address of a file, and until when it is good: one class a style
purge.py   what keeps copies, and how it is told to forget one
"""

from __future__ import annotations

from renderfarm.cdn.links import CloudFront, Link, Links, Presigned, Public, SecureLink, links_of
from renderfarm.cdn.purge import PUBLIC, Cache, caches_of

__all__ = [
    "PUBLIC",
    "Cache",
    "CloudFront",
    "Link",
    "Links",
    "Presigned",
    "Public",
    "SecureLink",
    "caches_of",
    "links_of",
]
