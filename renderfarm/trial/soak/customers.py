"""Customers of a soak: each orders, follows its order to the end, and orders again.

What they order and when, a seed says; what they wait for is the farm's affair.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from renderfarm.client import Client, ClientError, Unreachable
from renderfarm.client.answers import Job
from renderfarm.client.failures import ENDED
from renderfarm.db import new_id
from renderfarm.trial.soak.goods import Goods

T = TypeVar("T")
#: Between two orders of one customer, in seconds.
_PAUSE = (0.5, 2.5)
#: The longest that any order takes on a machine of two cores, restarts and all.
_PATIENCE = 300.0
_EVERY = 0.4
_TRIES = 4
#: The farm asks whoever sends the same order twice at once to come back.
_TWICE = "CS-UORC01-113"
_HAS_ENDED = "CS-UORC01-112"
_NO_ROOM = "refused CS-UORC01-001"
#: Of the orders that are complete, so many are downloaded, and so many have their files deleted.
_DOWNLOADED, _DELETED = 0.3, 0.2


@dataclass(slots=True)
class Tally:
    """What came of all orders; written by all customers."""

    #: By kind and end.
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: The jobs whose pictures have to be the same, to the bit.
    alike: dict[str, list[str]] = field(default_factory=dict)
    #: How each job ended, as its customer was told.
    jobs: dict[str, str] = field(default_factory=dict)
    #: How often the farm had to be asked once more, because nobody answered.
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Kind:
    """Something to order: ``order`` says how it ended, which has to begin with one of ``ends``."""

    name: str
    #: How often, beside the others.
    weight: int
    order: Callable[[Customer], str]
    ends: tuple[str, ...] = ("complete",)


class Customer:
    """An account with a character and a scene of its own; ``run`` belongs into a thread."""

    def __init__(self, client: Client, goods: Goods, tally: Tally, dice: random.Random, name: str) -> None:
        self._client = client
        self.goods = goods
        self._tally = tally
        self.dice = dice
        self._name = name
        self._assets: tuple[str, str] | None = None
        #: What it waits for now.
        self.doing = ""

    def run(self, stop: threading.Event) -> None:
        """Order until it is told to stop; the last order is followed to its end."""
        kinds, weights = KINDS, [kind.weight for kind in KINDS]
        while not stop.wait(self.dice.uniform(*_PAUSE)):
            [kind] = self.dice.choices(kinds, weights)
            self.doing = kind.name
            try:
                end = kind.order(self)
                known = end.startswith(kind.ends)
            except Exception as error:  # whatever it is, it is a finding, and the soak goes on
                end, known = f"{type(error).__name__}: {error}", False
            with self._tally.lock:
                self._tally.ends[kind.name, end] += 1
                if not known:
                    self._tally.wrong.append(f"{self._name} ordered {kind.name}: {end}")
        self.doing = ""

    def render(self, alike: str, *sources: object, cancelled: bool = False, **fields: str) -> str:
        """Order a render and follow it; ``alike`` names those whose picture is the same."""
        picture, video = sources or (self.goods.picture, self.goods.clip)
        key = new_id("order")
        try:
            job_id = self._asked(
                lambda: self._client.render(picture, video, idempotency_key=key, **fields)["job_id"]  # type: ignore[arg-type]
            )
        except ClientError as error:
            return f"refused {error.code}"
        if cancelled:
            time.sleep(self.dice.uniform(0, 2))
            self._cancel(job_id)
        job = self._ended(job_id)
        with self._tally.lock:
            self._tally.jobs[job_id] = job["status"]
            if job["status"] == "complete":
                self._tally.alike.setdefault(alike, []).append(job_id)
        if job["status"] == "complete":
            self._use(job)
        return f"{job['status']} {job['error_code'] or ''}".strip()

    def stored(self) -> str:
        """A render of its own character in its own scene, which are prepared when first needed."""
        if self._assets is None:
            self._assets = self._character(), self._scene()
        return self.render("stored", *self._assets)

    def prepare(self) -> str:
        """A character that is prepared, and let go."""
        made = self._character()
        self._asked(lambda: self._client.delete_asset(made))
        return "complete"

    def uploaded(self) -> str:
        """A render whose video is sent by itself, in parts."""
        upload = self._asked(lambda: self._client.upload(self.goods.clip, "video"))
        return self.render("v4", self.goods.picture, upload)

    def _character(self) -> str:
        made = self._asked(lambda: self._client.preprocess_character("Hero", self.goods.character))
        return self._ready(made["character_id"])

    def _scene(self) -> str:
        made = self._asked(lambda: self._client.preprocess_scene("Stage", self.goods.clip))
        return self._ready(made["scene_id"])

    def _ready(self, asset_id: str) -> str:
        deadline = time.monotonic() + _PATIENCE
        while (found := self._asked(lambda: self._client.asset(asset_id)))["status"] != "ready":
            if found["status"] == "failed" or time.monotonic() > deadline:
                raise RuntimeError(f"{asset_id} is {found['status']}: {found['error_message']}")
            time.sleep(_EVERY)
        return asset_id

    def _ended(self, job_id: str) -> Job:
        """The job at its end, told by the farm or asked for."""
        deadline = time.monotonic() + _PATIENCE
        told = self.dice.random() < 0.5
        for job in self._client.events(job_id) if told else self._client.follow(job_id, _EVERY):
            if job["status"] in ENDED:
                return job
            if time.monotonic() > deadline:
                raise RuntimeError(f"{job_id} is {job['status']} still")
        raise RuntimeError(f"the events of {job_id} ended before it did")

    def _cancel(self, job_id: str) -> None:
        try:
            self._asked(lambda: self._client.cancel(job_id))
        except ClientError as error:
            if error.code != _HAS_ENDED:
                raise

    def _use(self, job: Job) -> None:
        """Download it, or have its files deleted, or neither."""
        what = self.dice.random()
        if what < _DOWNLOADED:
            target = self.goods.clip.with_name(f"{job['job_id']}.mp4")
            self._asked(lambda: self._client.download(str(job["cdn_url"]), target))
            target.unlink()
        elif what < _DOWNLOADED + _DELETED:
            self._asked(lambda: self._client.delete_files(job["job_id"]))

    def _asked(self, ask: Callable[[], T]) -> T:
        """Its answer, asked for once more where a process that was told to go has hung up instead."""
        for left in reversed(range(_TRIES)):
            try:
                return ask()
            except Unreachable:
                if not left:
                    raise
            except ClientError as error:
                if error.code != _TWICE or not left:
                    raise
            with self._tally.lock:
                self._tally.unanswered += 1
            time.sleep(_EVERY)
        raise AssertionError("the last try returns or raises")


def ends(tally: Tally) -> Mapping[str, int]:
    """How many orders ended how."""
    return {f"{kind}: {end}": number for (kind, end), number in sorted(tally.ends.items())}


def _refused(customer: Customer) -> str:
    """Half a video, or a text in place of a picture."""
    goods = customer.goods
    return customer.dice.choice(
        (
            lambda: customer.render("never", goods.picture, goods.half),
            lambda: customer.render("never", goods.text, goods.clip),
        )
    )()


def _fast(customer: Customer) -> str:
    """As soon as there is room for it, if there is soon."""
    for _ in range(_TRIES):
        if (end := customer.render("v4", fast="true")) != _NO_ROOM:
            return end
        time.sleep(1)
    return _NO_ROOM


def _real(customer: Customer) -> str:
    """A render by the model's own engine."""
    return customer.render("v3", customer.goods.character, customer.goods.dance, model="V3_Preview")


def _fetched(customer: Customer) -> str:
    return customer.render("v4", customer.goods.picture_url, customer.goods.clip_url)


def _nobody(customer: Customer) -> str:
    """A job that cannot be drawn: in a test pattern nobody is to be seen."""
    return customer.render("never", customer.goods.character, customer.goods.clip, model="V3_Preview")


KINDS = (
    Kind("render", 8, lambda customer: customer.render("v4")),
    Kind("solid", 2, lambda customer: customer.render("solid", background_mode="solid", bg_color="9,99,9")),
    Kind("transparent", 2, lambda customer: customer.render("transparent", background_mode="transparent")),
    Kind("fast", 3, _fast, ("complete", _NO_ROOM)),
    Kind("real", 3, _real),
    Kind("stored", 4, Customer.stored),
    Kind("prepared", 1, Customer.prepare),
    Kind("uploaded", 1, Customer.uploaded),
    Kind("fetched", 2, _fetched),
    Kind("cancelled", 3, lambda customer: customer.render("v4", cancelled=True), ("cancelled", "complete")),
    Kind("spoilt", 2, _refused, ("refused CS-ORIV-",)),
    Kind("nobody", 1, _nobody, ("failed CS-UORC01-101",)),
)
