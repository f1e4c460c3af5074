"""nnseq.runs.interrupt: a signal is honoured at once, or after the step that it came in."""

from __future__ import annotations

import os
import signal

import pytest

from nnseq.runs.interrupt import SIGNALS, Interrupted, Interrupts


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_raises_at_once_and_its_code_says_which(number: signal.Signals, code: int) -> None:
    before = [signal.getsignal(x) for x in SIGNALS]
    with pytest.raises(Interrupted, match=f"left because of {number.name}") as left, Interrupts():
        os.kill(os.getpid(), number)
    assert left.value.code == code
    assert [signal.getsignal(x) for x in SIGNALS] == before


def test_a_deferred_signal_waits_until_it_is_asked_for_and_the_first_one_counts() -> None:
    with Interrupts() as interrupts:
        interrupts.deferred = True
        interrupts.raise_if_received()
        for number in (signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert interrupts.received == signal.SIGTERM
        with pytest.raises(Interrupted) as left:
            interrupts.raise_if_received()
    assert left.value.code == 143


def test_a_second_ctrl_c_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with Interrupts() as interrupts:
        interrupts.deferred = True
        os.kill(os.getpid(), signal.SIGINT)
        assert codes == []
        os.kill(os.getpid(), signal.SIGINT)
    assert codes == [130]
