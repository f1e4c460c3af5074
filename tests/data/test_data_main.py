"""python -m nnseq.data: exit codes, single lines, kills in the middle, a bar on a terminal."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from nnseq.data import ntu
from nnseq.data.__main__ import main
from nnseq.data.fetched import sha256_of
from nnseq.data.ntu_files import BENCHMARKS
from nnseq.data.sources import SETS
from tests.child import ENVIRONMENT
from tests.data.flaky_server import Answer, Server, serving, sha256

# python -m nnseq.data, which hears Ctrl-C also where a shell's `&` had it ignored.
START = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "runpy.run_module('nnseq.data', run_name='__main__')"
COMMAND = [sys.executable, "-c", START]
TOKENS = {
    "train": np.random.default_rng(0).bytes(300_000).hex().encode(),
    "valid": b" a b c \n",
    "test": b" d e \n",
}
KEPT = {f"wiki.{split}.tokens": content for split, content in TOKENS.items()}


def make_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in KEPT.items():
            file.writestr(f"wikitext-103/{name}", content)
    return buffer.getvalue()


ZIP = make_zip()
FETCH = ["fetch", "wikitext-103", "--sha256", sha256(ZIP)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving({"/prefix/wikitext-103-v1.zip": ZIP}) as server:
        monkeypatch.setenv("NNSEQ_DATA_URL", f"{server.url}/prefix")
        yield server


@contextmanager
def running(server: Server, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env={**ENVIRONMENT, "NNSEQ_DATA_URL": f"{server.url}/prefix"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("wiki.*")}


# ---- fetch ------------------------------------------------------------------------------------


def test_fetch_in_a_pipe_writes_plain_lines_and_exits_with_0(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FETCH, "--data", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    address = f"{server.url}/prefix/wikitext-103-v1.zip"
    assert lines[0] == f"wikitext-103-v1.zip: from {address}"
    assert lines[-1] == f"wikitext-103 is in {tmp_path}"
    assert err == ""
    assert "\r" not in out
    assert content_of(tmp_path) == KEPT


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGKILL, signal.SIGKILL], [signal.SIGINT], [signal.SIGTERM]],
    ids=["killed twice", "Ctrl-C", "terminated"],
)
def test_a_fetch_that_was_stopped_goes_on_at_the_byte_where_it_was(
    server: Server, tmp_path: Path, signals: list[signal.Signals]
) -> None:
    rng = np.random.default_rng(len(signals))
    at = 0
    for number in signals:
        sent, done = threading.Event(), threading.Event()

        def wait(sent: threading.Event = sent, done: threading.Event = done) -> None:
            sent.set()
            done.wait(30)

        cut = int(rng.integers(1, len(ZIP) // 3))
        server.script = [Answer(cut=cut, wait=wait)]
        part = tmp_path / "wikitext-103-v1.zip.part"
        at += cut
        with running(server, *FETCH, "--data", tmp_path) as child:
            assert sent.wait(30)
            while not part.exists() or part.stat().st_size < at:
                assert child.poll() is None
            child.send_signal(number)
            _, err = child.communicate(timeout=30)
            done.set()
        assert part.read_bytes() == ZIP[:at]
        assert content_of(tmp_path) == {}
        if number == signal.SIGINT:
            assert child.returncode == 130
            assert err.strip() == (
                "nnseq.data: interrupted; what came is kept, the same command goes on"
            )
        else:
            assert child.returncode == -number
    asked = len(server.seen)
    assert main([*FETCH, "--data", str(tmp_path)]) == 0
    assert server.ranges()[asked:] == [f"bytes={at}-"]
    assert content_of(tmp_path) == KEPT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched.sha256", *sorted(KEPT)]


def test_the_real_mnist_comes_through_a_mirror_that_cuts_at_random_bytes(
    server: Server, tmp_path: Path, data_folder: Callable[[str], Path]
) -> None:
    source = data_folder("mnist")
    files = [file.name for file in SETS["mnist"].files]
    server.files |= {f"/prefix/mnist/{name}": (source / name).read_bytes() for name in files}
    rng = np.random.default_rng(1)
    server.usual = lambda number: Answer(
        cut=int(rng.integers(0, 9_000_000)) if number % 3 else None, reset=bool(rng.integers(2))
    )
    assert main(["fetch", "mnist", "--data", str(tmp_path)]) == 0
    for file in SETS["mnist"].files:
        assert sha256_of(tmp_path / file.name) == file.sha256
    assert main(["fetch", "mnist", "--data", str(source)]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["fetch"], 2, "the following arguments are required: NAME"),
        (["fetch", "mnits"], 2, "mnits: no such data set; did you mean mnist?"),
        (["fetch", "mnist", "--dat", "x"], 2, "unrecognized arguments: --dat x"),
        (["fetch", "text8", "--sha256", "7"], 2, "'7' came, expected 64 hexadecimal digits"),
        (["fetch", "mnist", "--timeout", "0"], 2, "--timeout: 0.0 came, expected seconds above 0"),
        (["fetch", "mnist", "--timeout", "nan"], 2, "--timeout: nan came"),
        (["fetch", "text8"], 1, "no SHA-256 is known of text8.zip"),
        (["fetch", "cifar10"], 1, "add the one that you trust: --sha256 HEX"),
        (["fetch", "wikitext-2"], 1, "no SHA-256 is known of train.txt"),
        (["fetch", "ntu"], 1, "ntu has no free download"),
        (["fetch", "ptb"], 1, "ptb.train.txt could not be fetched: http://127.0.0.1:"),
        (["convert_ntu", "nowhere", "out"], 1, "nowhere"),
        (["convert_ntu", "nowhere", "out", "--benchmark", "both"], 2, "invalid choice: 'both'"),
    ],
)
def test_what_fails_is_one_line_and_an_exit_code(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        came = main(arguments)
    except SystemExit as error:
        came = error.code  # type: ignore[assignment]
    err = capsys.readouterr().err
    assert came == code
    assert message in err
    assert err.startswith("nnseq.data: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.gz"))


def test_a_terminal_shows_a_bar(server: Server, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    shown = b""
    with subprocess.Popen(
        [*COMMAND, *FETCH, "--data", str(tmp_path)],
        env={**ENVIRONMENT, "NNSEQ_DATA_URL": f"{server.url}/prefix"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as child:
        os.close(theirs)
        with suppress(OSError):  # EIO: the child has closed its end
            while piece := os.read(ours, 4096):
                shown += piece
        os.close(ours)
        assert child.wait(30) == 0
    assert b"wikitext-103-v1.zip: 100%" in shown
    assert content_of(tmp_path) == KEPT


def test_the_module_runs_as_a_program_and_shows_its_help(server: Server) -> None:
    with running(server, "fetch", "--help") as child:
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert err == ""
    assert "--sha256" in out
    assert "NNSEQ_DATA_URL" in out


# ---- list, convert_ntu ------------------------------------------------------------------------


def test_list_shows_every_file_with_its_hash_or_says_that_there_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, data_set in SETS.items():
        assert any(line.startswith(f"{name}: ") for line in lines)
        for file in data_set.files:
            (line,) = [line for line in lines if line.startswith(f"  {file.name}, ")]
            assert (file.sha256 or "SHA-256 unknown (--sha256 HEX)") in line
            assert (f"{file.size:,} bytes" if file.size else "size unknown") in line


def test_convert_ntu_calls_the_converter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def convert(
        skeletons: str, out: str, benchmark: str, progress: Callable[[int, int], None]
    ) -> str:
        seen.append((skeletons, out, benchmark))
        for done in (1, 2, 3):
            progress(done, 3)
        return "3 clips"

    monkeypatch.setattr(ntu, "convert", convert)
    monkeypatch.setattr("nnseq.data.meter.PIPE_SECONDS", 0.0)
    assert main(["convert_ntu", "there", "here", "--benchmark", "cross_view"]) == 0
    assert seen == [("there", "here", "cross_view")]
    out = capsys.readouterr().out.splitlines()
    assert out == [*(f"convert_ntu: {done} of 3 files" for done in (1, 2, 3)), "3 clips"]
    assert main(["convert_ntu", "there", "here"]) == 0
    for benchmark in BENCHMARKS:
        assert main(["convert_ntu", "there", "here", "--benchmark", benchmark]) == 0
    assert [asked[2] for asked in seen[1:]] == [BENCHMARKS[0], *BENCHMARKS]
