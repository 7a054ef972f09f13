"""The load of the ingress, short: that it is answered, not how fast."""

from __future__ import annotations

from renderfarm.trial import ingress
from renderfarm.trial.ground import Ground


def test_orders_and_questions_are_all_answered(ground: Ground) -> None:
    measured = ingress.measure(ground, rounds=1, seconds=1.0, connections=4)
    (post,), (get,) = measured.post, measured.get
    assert set(post.statuses) == {"202"}
    assert set(get.statuses) == {"200"}
    assert (post.errors, get.errors) == (0, 0)
    assert sum(get.statuses.values()) > 4  # connections are used again
