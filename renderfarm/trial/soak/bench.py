"""``farm bench soak``: open the farm, let customers in, replace everything once, and judge what is left."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from renderfarm import accounts, credits, endpoints
from renderfarm.client import Client
from renderfarm.local.interrupts import Interrupts
from renderfarm.local.ports import free_port
from renderfarm.receiver import Receiver
from renderfarm.trial.host import host
from renderfarm.trial.soak import lines
from renderfarm.trial.soak.course import rest, work
from renderfarm.trial.soak.customers import Customer, Tally, ends
from renderfarm.trial.soak.goods import Goods
from renderfarm.trial.soak.judge import Verdict, judge, series_of
from renderfarm.trial.soak.local import LocalFarm
from renderfarm.trial.soak.post import Post
from renderfarm.trial.soak.rolling import Replaced
from renderfarm.trial.soak.watch import Sample

#: V4 draws by the clock, and has workers for fast jobs; V3 draws really.
WORKERS: Mapping[str, int] = {"v3": 1, "v4": 3, "cpu": 1, "fetch": 1}
#: So many keep two cores at work.
CUSTOMERS = 4
_CREDITS = 1_000_000
_TOLD = {
    "FARM_LOG_FORMAT": "json",
    "FARM_DEVELOPMENT": "1",
    "ENGINE_V4": "fixed:ms=20",
    "FARM_FETCH_PRIVATE": "1",
    # Files that nobody claims go while the soak goes on.
    "FARM_GARBAGE_SECONDS": "60",
    "FARM_WEBHOOK_PATIENCE": "0.2",
    "FARM_FREE_PREPROCESS_PER_DAY": "1000000",
    "FARM_FREE_CANCELS_PER_DAY": "1000000",
}


@dataclass(slots=True)
class Soak:
    """What a soak has seen."""

    seconds: float
    samples: list[Sample] = field(default_factory=list)
    replaced: Sequence[Replaced] = ()
    verdicts: Sequence[Verdict] = ()
    said: Sequence[lines.Group] = ()
    orders: Mapping[str, int] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    #: What was lost, left or unexpected.
    wrong: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Everything for which it has failed."""
        grown = [f"{each.name}: {each.wrong}" for each in self.verdicts if each.wrong]
        heard = [f"{each.count} x {each.program}: {each.shape}" for each in self.said if not each.reason]
        return [*self.wrong, *grown, *heard]

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "orders": self.orders,
            "notes": self.notes,
            "replaced": [asdict(each) for each in self.replaced],
            "series": [each.to_json() for each in self.verdicts],
            "logs": [each.to_json() for each in self.said],
            "wrong": self.wrong,
            "failures": self.failures,
        }


def run(
    interrupts: Interrupts,
    seconds: float,
    *,
    seed: int,
    tell: Callable[[str], None],
    logs: Path | None = None,
) -> Soak:
    """Soak a new farm for so long; ``tell`` hears how it goes on. ``logs``: where its logs are kept."""
    soak = Soak(seconds)
    post = Post(random.Random(f"{seed} post"))
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver([], post.take))
        port = free_port()
        told = {**_TOLD, "FARM_FETCH_PORTS": f"{port},{receiver.url.rstrip('/').rpartition(':')[2]}"}
        tell("starting the farm ...")
        farm = stack.enter_context(LocalFarm.open(interrupts, WORKERS, told))
        goods = Goods.make(farm.home.root / "goods", port)
        stack.enter_context(host(port, goods.shown, lambda _: True, Counter()))
        tally = Tally()
        customers = [_customer(farm, goods, tally, receiver, f"{seed}-{n}") for n in range(CUSTOMERS)]
        soak.samples, soak.replaced = work(farm, customers, seconds, soak.wrong, tell)
        tell("the farm comes to rest ...")
        rest(farm, tally, post, soak.wrong)
        soak.wrong += tally.wrong
        soak.orders = ends(tally)
        soak.notes = {"asked once more": tally.unanswered, "webhooks told twice": post.again}
        soak.said = lines.loud(farm.home.logs)
        if logs is not None:
            shutil.copytree(farm.home.logs, logs, dirs_exist_ok=True)
    soak.seconds = soak.samples[-1].at
    soak.verdicts = [judge(series, soak.seconds) for series in series_of(soak.samples)]
    return soak


def _customer(farm: LocalFarm, goods: Goods, tally: Tally, receiver: Receiver, name: str) -> Customer:
    """One with an account, a key, and an endpoint that is told of its jobs."""
    with farm.database.begin() as session:
        account = accounts.create_account(session, f"customer {name}")
        credits.grant(session, account.id, _CREDITS)
        _, secret = accounts.create_key(session, account.id)
        signs = endpoints.add(session, account.id, receiver.url).secret
    receiver.secrets = [*receiver.secrets, signs]
    return Customer(Client(farm.state.api_url, secret), goods, tally, random.Random(name), f"customer {name}")
