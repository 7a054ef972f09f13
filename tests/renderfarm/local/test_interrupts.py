"""Signals, taken when it suits."""

from __future__ import annotations

import os
import signal

import pytest

from renderfarm.local.interrupts import Interrupts


def _send(kind: signal.Signals) -> None:
    os.kill(os.getpid(), kind)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_the_next_one_only_hurries(kind: signal.Signals) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            _send(kind)
        assert not interrupts.hurried()
        _send(kind)
        assert interrupts.hurried()


def test_a_signal_waits_for_the_end_of_what_must_not_be_broken_off() -> None:
    done = False
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.held():
        _send(signal.SIGINT)
        done = True
    assert done


def test_afterwards_everything_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_nohup_stays_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            _send(signal.SIGHUP)
            assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)
