"""Addresses of finished files: one class for each style, chosen from the settings by ``links_of``.

public        under ``FARM_CDN_BASE``, for good, for whoever has it
secure-link   the same, signed as nginx's ``secure_link_md5 "$secure_link_expires$uri SECRET"`` checks it
presigned     the bucket's own, signed by S3's rules
cloudfront    CloudFront's, signed with a canned policy

A signed address is made anew whenever it is shown, and is good for ``FARM_CDN_SECONDS``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlsplit

from renderfarm.settings import Settings, SettingsError, variable_of

#: What both sides can write into a configuration without quotes; 32 hexadecimal digits are enough.
SECRET = re.compile(r"[A-Za-z0-9_-]{16,200}")
#: S3 signs for no longer than a week.
_LONGEST = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Link:
    """An address as of now."""

    url: str
    #: None: good for as long as the file is there.
    expires_at: datetime | None = None


class Links(ABC):
    """Makes addresses of storage keys, which hold nothing that an address would have to quote."""

    @abstractmethod
    def link(self, key: str) -> Link:
        """The address under which the outside fetches the object, as of now."""


@dataclass(frozen=True, slots=True)
class Public(Links):
    """The same address for good."""

    base: str

    def link(self, key: str) -> Link:
        return Link(f"{self.base}/{key}")


@dataclass(frozen=True, slots=True)
class SecureLink(Links):
    """What nginx's module of that name checks: the MD5 of the end, the path and a secret."""

    base: str
    secret: str = field(repr=False)
    seconds: int

    def link(self, key: str) -> Link:
        url, end = f"{self.base}/{key}", _end(self.seconds)
        expires = int(end.timestamp())
        # The secret comes last: what is appended to a signed path is never what was signed.
        signed = f"{expires}{urlsplit(url).path} {self.secret}"
        digest = hashlib.md5(signed.encode(), usedforsecurity=False).digest()
        md5 = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return Link(f"{url}?expires={expires}&md5={md5}", end)


@dataclass(frozen=True, slots=True)
class Presigned(Links):
    """The bucket's own address; ``sign`` makes one of a key that is good for so many seconds."""

    sign: Callable[[str, int], str]
    seconds: int

    def link(self, key: str) -> Link:
        end = _end(self.seconds)
        return Link(self.sign(key, self.seconds), end)


@dataclass(frozen=True, slots=True)
class CloudFront(Links):
    """CloudFront's signed address; ``key`` is the RSA key whose public half the distribution trusts."""

    base: str
    key_id: str
    key: Any = field(repr=False)
    seconds: int

    @classmethod
    def of(cls, base: str, key_id: str, pem: str, seconds: int) -> Self:
        """With a key in PEM, whose line ends may be written as ``\\n``; ``ValueError`` for what is none."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem.replace("\\n", "\n").encode(), None)
        except (TypeError, UnsupportedAlgorithm) as error:  # it is encrypted; it is of another kind
            raise ValueError(str(error)) from error
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("not an RSA key")
        return cls(base, key_id, key, seconds)

    def link(self, key: str) -> Link:
        from botocore.signers import CloudFrontSigner

        end = _end(self.seconds)
        signer = CloudFrontSigner(self.key_id, self._sign)
        return Link(signer.generate_presigned_url(f"{self.base}/{key}", date_less_than=end), end)

    def _sign(self, policy: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA1

        signature: bytes = self.key.sign(policy, PKCS1v15(), SHA1())  # CloudFront checks nothing else
        return signature


def links_of(settings: Settings, own: str = "", sign: Callable[[str, int], str] | None = None) -> Links:
    """The settings' style; without one the store's: its ``own`` address, or what it can ``sign``.

    ``SettingsError`` names the variable that is missing, or that another one contradicts.
    """
    style = settings.cdn_style or ("public" if settings.cdn_base or own else "presigned")
    if style not in _NEEDS:
        raise _wrong("cdn_style", f"={style!r} is none of {', '.join(_NEEDS)}")
    for name in ("cdn_base", "cdn_secret", "cdn_key_id", "cdn_private_key"):
        given, needed = bool(getattr(settings, name)), name in _NEEDS[style]
        if given and not needed:
            raise _wrong(name, f" is set, and links of the style {style} do not use it: see FARM_CDN_STYLE")
        if needed and not given and not (name == "cdn_base" and own and not settings.cdn_style):
            raise _wrong(name, f" is not set, and links of the style {style} need it")
    if not 0 < settings.cdn_seconds <= _LONGEST:
        raise _wrong("cdn_seconds", f"={settings.cdn_seconds} is not between 1 second and a week")
    base = (settings.cdn_base or own).rstrip("/")
    if base and (urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).netloc):
        raise _wrong("cdn_base", f"={base!r} is not such as https://cdn.example.com")
    if style == "public":
        return Public(base)
    made = _signed(settings, style, base, sign)
    if own:
        raise _wrong("cdn_style", f"={style!r} is for a bucket: whoever asks the API gets a folder's files")
    return made


def _signed(settings: Settings, style: str, base: str, sign: Callable[[str, int], str] | None) -> Links:
    if style == "presigned":
        if sign is None:
            raise _wrong("cdn_style", "='presigned' is for a bucket: FARM_STORAGE_URL names none")
        return Presigned(sign, settings.cdn_seconds)
    if style == "secure-link":
        return SecureLink(base, checked_secret(settings, "cdn_secret"), settings.cdn_seconds)
    try:
        return CloudFront.of(base, settings.cdn_key_id, settings.cdn_private_key, settings.cdn_seconds)
    except ValueError as error:
        raise _wrong("cdn_private_key", " is not an RSA key in PEM, without a password") from error


#: The settings that a style has to have, and those of others it must not: they would not do what they say.
_NEEDS = {
    "public": {"cdn_base"},
    "secure-link": {"cdn_base", "cdn_secret"},
    "presigned": set[str](),
    "cloudfront": {"cdn_base", "cdn_key_id", "cdn_private_key"},
}


def checked_secret(settings: Settings, name: str) -> str:
    """The setting, where it is a secret that nginx's configuration can hold."""
    secret: str = getattr(settings, name)
    if not SECRET.fullmatch(secret):
        raise _wrong(name, " has to be 16 or more of letters, digits, - and _: `openssl rand -hex 32`")
    return secret


def _end(seconds: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


def _wrong(name: str, what: str) -> SettingsError:
    return SettingsError(f"{variable_of(name)}{what}")
