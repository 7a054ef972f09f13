"""``V3_Preview`` without weights: skinned limbs."""

from __future__ import annotations

from pipeline.engines.puppet.engine import PuppetEngine


class PuppetV3(PuppetEngine):
    """The character's layers follow the driver's skeleton; the picture's own light stays."""

    name = "puppet_v3"
    version = "2"
