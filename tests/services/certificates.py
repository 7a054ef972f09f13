"""Certificates made on the spot: an authority of the tests, and what it says of whom."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
#: ``openssl ca`` alone takes the dates of a certificate from who asks.
_CONFIG = """
[ca]
default_ca = here
[here]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""
_BEGAN, _ENDED, _ENDS = "20200101000000Z", "20200201000000Z", "20491231235959Z"


class Authority:
    """Certifies what it is told; ``pem`` is what its believers trust."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._folder = folder
        self.pem = folder / "authority.pem"
        folder.mkdir()
        (folder / "index").touch()
        (folder / "config").write_text(_CONFIG.format(folder=folder))
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", "authority.key", "-out", self.pem, "-subj", "/CN=tests"
        )

    def server(self, name: str, *, expired: bool = False) -> ssl.SSLContext:
        """What a server needs to show a certificate of ``DNS:its name`` or ``IP:its address``."""
        stem = f"{name.replace(':', '-')}{'-expired' * expired}"
        key, asked, given = (self._folder / f"{stem}.{kind}" for kind in ("key", "csr", "pem"))
        of = ("-subj", "/CN=server", "-addext", f"subjectAltName={name}")
        self._openssl("req", "-new", *_KEY, "-keyout", key, "-out", asked, *of)
        issuer = ("-config", "config", "-cert", self.pem, "-keyfile", "authority.key")
        dates = ("-startdate", _BEGAN, "-enddate", _ENDED if expired else _ENDS)
        self._openssl("ca", "-batch", "-notext", *issuer, *dates, "-in", asked, "-out", given)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given, key)
        return context

    def _openssl(self, *words: str | Path) -> None:
        done = subprocess.run(
            ["openssl", *words], cwd=self._folder, check=False, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
