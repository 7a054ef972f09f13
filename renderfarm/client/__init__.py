"""The farm's API, from the outside: send a render, follow it, fetch what came out."""

from renderfarm.client.answers import (
    Accepted,
    Asset,
    AssetPage,
    Credits,
    Estimate,
    Job,
    JobPage,
    Preprocessing,
    Progress,
    Template,
)
from renderfarm.client.api import Client
from renderfarm.client.failures import ENDED, ClientError, JobFailed, Unreachable, error_of
from renderfarm.signing import BadSignature
from renderfarm.signing import verify as verify_webhook

__all__ = [
    "ENDED",
    "Accepted",
    "Asset",
    "AssetPage",
    "BadSignature",
    "Client",
    "ClientError",
    "Credits",
    "Estimate",
    "Job",
    "JobFailed",
    "JobPage",
    "Preprocessing",
    "Progress",
    "Template",
    "Unreachable",
    "error_of",
    "verify_webhook",
]
