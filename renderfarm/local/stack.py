"""The farm on one machine: start everything in order, see that it runs, stop it without a trace."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import psutil

from renderfarm.local import postgres as embedded
from renderfarm.local import processes
from renderfarm.local.errors import StackError
from renderfarm.local.home import Home
from renderfarm.local.interrupts import Interrupts
from renderfarm.local.ports import wait_for
from renderfarm.local.programs import FARM_GROUPS, SERVICES, environment, programs
from renderfarm.local.state import WORKERS, State, choose
from renderfarm.local.supervisor import Supervisor, end_of_log
from renderfarm.settings import Settings

#: The account that the first start makes, and what it may spend.
LOCAL_ACCOUNT, LOCAL_CREDITS = "local", 1000
_START_SECONDS = 90.0
#: Longer than all groups' graces together ever take; then everything left is killed.
_STOP_SECONDS = 180.0
_POLL = 0.1
_T = TypeVar("_T")


class Stack:
    """One machine's farm, by its folder."""

    def __init__(self, home: Home, caller: Mapping[str, str]) -> None:
        self.home = home
        self._caller = caller
        #: Whether it was started here, and is therefore ours to stop.
        self.owned = False

    def running(self) -> State | None:
        """What it was started with, if it runs."""
        if processes.supervisor_of(self.home.stack_id) is None:
            return None
        return State.load(self.home.state)

    def processes(self, state: State) -> list[dict[str, Any]]:
        """What the supervisor says of each program; nothing while it does not answer."""
        try:
            return Supervisor(self.home, state.ports["supervisor"]).processes()
        except OSError:
            return []

    def start(
        self,
        interrupts: Interrupts,
        port: int = 0,
        say: Callable[[str], None] = lambda _: None,
        workers: Mapping[str, int] = WORKERS,
    ) -> State:
        """Start everything and answer once the API does; a farm that runs already is left as it is.

        Raises ``StackError``. A start that fails or is interrupted leaves nothing behind.
        """
        self.home.create()
        with self.home.starting():
            if (state := self.running()) is not None:
                return state
            processes.sweep(self.home.stack_id)  # what a killed supervisor left
            self.owned = True
            try:
                return self._start(interrupts, port, say, workers)
            except BaseException:
                self.stop(interrupts.hurried)
                raise

    def stop(self, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Stop everything in order; False when nothing ran.

        Once ``hurried`` says so, all but the services are killed. Nothing is left in any case.
        """
        supervisor = processes.supervisor_of(self.home.stack_id)
        if supervisor is not None:
            processes.ask(supervisor)
            deadline = time.monotonic() + _STOP_SECONDS
            while processes.alive(supervisor) and time.monotonic() < deadline:
                if hurried():
                    processes.kill_programs(self.home.stack_id, spare=SERVICES)
                time.sleep(_POLL)
            if processes.alive(supervisor):
                supervisor.kill()
        return processes.sweep(self.home.stack_id) > 0 or supervisor is not None

    def _start(
        self, interrupts: Interrupts, port: int, say: Callable[[str], None], workers: Mapping[str, int]
    ) -> State:
        state = choose(self.home, self._caller, port, workers)
        cluster = None
        if state.own_postgres:
            say("preparing PostgreSQL")
            try:
                cluster = embedded.prepare(self.home.root)
            except embedded.PostgresError as error:
                raise StackError(str(error)) from error
            state = replace(state, database_url=cluster.url(state.ports["postgres"]))
        state.save(self.home.state)
        supervisor = Supervisor(self.home, state.ports["supervisor"])
        environ = environment(self.home, state, self._caller)
        Settings.from_env(environ)  # told here, not by each process in its log
        say("starting the services")
        with interrupts.held():  # a process that we do not know yet could not be stopped
            child = supervisor.launch(programs(self.home, state, cluster), environ, root=os.geteuid() == 0)
        start = _Start(self, state, child)
        start.wait_for_services()
        if cluster is not None:
            start.when_answering(
                lambda: embedded.create_database(cluster.url(state.ports["postgres"], "postgres"))
            )
        say("bringing the database up to date")
        start.when_answering(lambda: _migrate(state.database_url))
        ensure_account(self.home, state.database_url)
        say("starting the farm")
        for group in FARM_GROUPS:
            supervisor.start(group)
        start.wait_for_api()
        return state


class _Start:
    """Waits for one start's steps, and knows why one does not come."""

    def __init__(self, stack: Stack, state: State, supervisor: psutil.Process) -> None:
        self._stack, self._state, self._supervisor = stack, state, supervisor
        self._deadline = time.monotonic() + _START_SECONDS

    def wait_for_services(self) -> None:
        ours = {"supervisor": True, "postgres": self._state.own_postgres, "redis": self._state.own_redis}
        for name in (name for name, own in ours.items() if own):
            while not wait_for(self._state.ports[name], _POLL):
                self._check(name)

    def when_answering(self, action: Callable[[], _T]) -> _T:
        """Do it as soon as the database takes connections."""
        import psycopg
        import sqlalchemy.exc

        while True:
            try:
                return action()
            except (psycopg.OperationalError, sqlalchemy.exc.OperationalError) as error:
                if not self._state.own_postgres:
                    raise StackError(f"The database of DATABASE_URL does not answer: {error}") from error
                self._check("postgres")
                time.sleep(_POLL)

    def wait_for_api(self) -> None:
        import requests

        session = requests.Session()
        session.trust_env = False  # no proxy stands between us and ourselves
        while True:
            try:
                if session.get(f"{self._state.api_url}/readyz", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            self._check("api")
            time.sleep(_POLL)

    def _check(self, name: str) -> None:
        """Raise ``StackError`` where waiting any longer for ``name`` is no use."""
        if not processes.alive(self._supervisor):
            log = end_of_log(self._stack.home.logs / "supervisor.out")
            raise StackError(f"The supervisor ended while the farm was starting.\n{log}".strip())
        if time.monotonic() > self._deadline:
            log = end_of_log(self._stack.home.logs / f"{name}.log")
            raise StackError(
                f"{name} did not start within {_START_SECONDS:.0f} s. The end of its log:\n{log}"
            )


def ensure_account(home: Home, database_url: str) -> None:
    """See that the account ``local`` exists and that the key in the farm's folder is its."""
    from renderfarm import accounts, credits
    from renderfarm.db import Database

    database = Database(database_url, pool_size=1)
    try:
        secret = home.key.read_text().strip() if home.key.exists() else ""
        if secret and accounts.authenticate(database, secret):
            return
        with database.begin() as session:
            account = accounts.find_account(session, LOCAL_ACCOUNT)
            if account is None:
                account = accounts.create_account(session, LOCAL_ACCOUNT)
                credits.grant(session, account.id, LOCAL_CREDITS, "the first start of the local farm")
            _, secret = accounts.create_key(session, account.id)
        home.write(home.key, secret)
    finally:
        database.close()


def _migrate(url: str) -> None:
    from renderfarm.migrate import migrate

    migrate(url)
