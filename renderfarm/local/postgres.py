"""An embedded PostgreSQL: pgserver's binaries (or the system's), run by ourselves.

It listens on loopback only, on the port it is given, with a password for everyone and without a
Unix socket (a socket's path may be too long, and its folder is one more thing to leave behind).
PostgreSQL refuses to run as root, so root runs it as ``nobody``, with the data, and if need be the
binaries, where that user can reach them.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

_USER = "nobody"
_DATABASE = "renderfarm"
#: What root cannot keep in its own folders, since PostgreSQL's user may not pass them.
_SHELTER = Path("/var/lib/renderfarm")


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be set up; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """One cluster on disk. ``prepare`` makes it, ``command`` runs it in the foreground."""

    data: Path
    bin: Path
    password: str

    def url(self, port: int, database: str = _DATABASE) -> str:
        """The address that clients use."""
        return f"postgresql://farm:{quote(self.password)}@127.0.0.1:{port}/{database}"

    def command(self, port: int) -> list[str]:
        """The server's command line; it stays in the foreground and logs to stderr."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "log_min_messages": "warning",
            "log_checkpoints": "off",
        }
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), *flags]

    @property
    def user(self) -> str | None:
        """The user that has to run it; None: whoever we are."""
        return _USER if os.geteuid() == 0 else None


def prepare(folder: Path) -> Postgres:
    """Make the cluster under ``folder`` unless it is there; safe to call again.

    Raises ``PostgresError`` where there are no binaries or ``initdb`` fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bin_dir, data = _binaries(), data_folder(folder)
    if os.geteuid() == 0 and not _reachable(bin_dir):
        bin_dir = _copy_binaries(bin_dir)
    password_file = folder / "postgres.password"
    if not ((data / "PG_VERSION").exists() and password_file.exists()):
        _init(bin_dir, data, password_file)
    return Postgres(data, bin_dir, password_file.read_text().strip())


def data_folder(folder: Path) -> Path:
    """Where the cluster of ``folder`` lies: in it, unless PostgreSQL's user may not pass there."""
    if os.geteuid() == 0 and not _reachable(folder):
        return _SHELTER / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return folder / "postgres"


def create_database(url: str, name: str = _DATABASE) -> None:
    """Create the database ``name`` on the server of ``url`` unless it exists."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not found:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def wait_ready(url: str, seconds: float) -> None:
    """Wait until the server takes connections, which is later than that its port answers."""
    import psycopg

    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _binaries() -> Path:
    spec = find_spec("pgserver")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "pginstall" / "bin"
        if (bundled / "postgres").exists():
            return bundled
    found = shutil.which("postgres")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise PostgresError("No PostgreSQL was found: install it (`apt install postgresql`) or set DATABASE_URL.")


def _reachable(path: Path) -> bool:
    """Whether other users may pass every folder down to ``path``."""
    resolved = path.resolve()
    return all(part.stat().st_mode & 0o001 for part in [resolved, *resolved.parents])


def _copy_binaries(source: Path) -> Path:
    """The wheel's binaries where everybody may run them; one copy serves every farm of the machine."""
    postgres = (source / "postgres").stat()
    target = _SHELTER / f"pgserver-{postgres.st_size:x}-{int(postgres.st_mtime):x}"
    copied = target / "pgserver" / "pginstall" / "bin"
    if not copied.exists():
        packages = source.parents[2]
        _make_shelter()
        with tempfile.TemporaryDirectory(dir=_SHELTER) as scratch:
            fresh = Path(scratch) / "fresh"
            # The binaries find pgserver.libs by its place beside their package.
            for name in ("pgserver/pginstall", "pgserver.libs"):
                if (packages / name).exists():
                    shutil.copytree(packages / name, fresh / name, symlinks=True)
            for folder in (fresh, fresh / "pgserver"):
                folder.chmod(0o755)
            try:
                fresh.rename(target)
            except OSError:
                if not copied.exists():  # else another farm was quicker
                    raise
    return copied


def _make_shelter() -> None:
    _SHELTER.mkdir(parents=True, exist_ok=True)
    _SHELTER.chmod(0o755)  # whatever our umask says


def _init(bin_dir: Path, data: Path, password_file: Path) -> None:
    if data.parent == _SHELTER:
        _make_shelter()
    shutil.rmtree(data, ignore_errors=True)  # an initdb that died half way
    data.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    handed_over = data.with_suffix(".initdb")
    handed_over.unlink(missing_ok=True)
    handed_over.touch(mode=0o600)
    handed_over.write_text(password)
    user: dict[str, object] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(_USER)
        for path in (data, handed_over):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    command = [str(bin_dir / "initdb"), "-D", str(data), "-U", "farm", "-E", "UTF8", "--locale=C"]
    command += ["--auth=scram-sha-256", f"--pwfile={handed_over}", "--no-instructions"]
    try:
        done = subprocess.run(  # type: ignore[call-overload]  # user, group: only where we are root
            command, capture_output=True, text=True, cwd="/", check=False, **user
        )
    finally:
        handed_over.unlink()
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise PostgresError(f"initdb failed: {done.stderr.strip()[-500:]}")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
