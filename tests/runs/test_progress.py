"""nnseq.runs.progress: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from nnseq.runs.progress import Progress, as_text
from tests.child import ENVIRONMENT

CODE = """
from nnseq.runs.progress import Progress
with Progress(2, 5) as progress:
    progress.lines(["a line"])
    for _ in range(3):
        progress.step(0.5)
"""


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(0, 5) as progress:
        progress.lines(["one", "two"])
        progress.step(0.5)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("one\ntwo\n", "")


def test_a_terminal_gets_a_bar_that_counts_from_where_the_run_is() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    argv = [sys.executable, "-c", CODE]
    process = subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=ENVIRONMENT)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux says so when the other side of a terminal is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 0
    assert b"a line\r\n" in shown
    assert b"2/5" in shown
    assert b"5/5" in shown
    assert b"loss 0.5" in shown


def test_a_row_is_a_line_with_the_baseline_beside_the_loss() -> None:
    row = {"step": 7, "loss": 0.123456, "seconds": 2.04, "T": 50, "lr": 1e-5}
    assert as_text(row, None) == "step 7  loss 0.1235  T 50  lr 1e-05  2.0 s"
    assert "loss 0.1235  (ones 0.1667)  T 50" in as_text(row, ("ones", 1 / 6))
