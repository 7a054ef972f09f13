"""Inputs that have come from their addresses: a job's picture and video, and with the video its price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from pipeline.spec import VideoInfo
from renderfarm import credits, garbage, jobs, prices
from renderfarm.claims import Claim
from renderfarm.settings import Settings


@dataclass(frozen=True, slots=True)
class Arrived:
    """What was fetched, stored and found fit."""

    #: Storage keys: ``picture``, ``video``.
    inputs: Mapping[str, str]
    #: Of the video, where one came: what it is, what its owner should know, what was found out of it.
    video: VideoInfo | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


def take_in(session: Session, settings: Settings, claim: Claim, arrived: Arrived) -> bool:
    """The claim's job has its inputs, and its hold where the price was not known before; its work begins.

    False, and nothing changed, for a late attempt. CS-ORCR-001 where the account has not enough: the
    caller's transaction must not be committed then.
    """
    held = jobs.fenced(session, claim)
    if held is None:
        return False
    job, unit = held
    job.inputs, job.urls = {**job.inputs, **arrived.inputs}, {}
    garbage.keep(session, arrived.inputs.values())
    if arrived.video is not None:
        job.video = arrived.video.to_json()
        job.notes = {**job.notes, **arrived.notes}
        job.facts = {**job.facts, jobs.SOURCE: arrived.source}
    unpriced = job.credits is None
    if unpriced:
        assert arrived.video is not None, "only a video that is not there yet leaves the price open"
        job.credits = prices.price(arrived.video, job.mode)
    jobs.pass_on(session, settings, job, unit, ())
    if unpriced:
        credits.hold(session, job.account_id, job.id, job.credits or 0)
    return True
