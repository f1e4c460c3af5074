"""Several runs as one command: each in its own folder, skipped when done, then a picture of all.

    run_parts(experiment, options, parts, finish)    what main() of such an experiment returns

    <out>/<part>/       an ordinary run: metrics.jsonl, checkpoint.h5, curve.png, summary.json
    <out>/metrics.jsonl, curve.png, summary.json     of all together, from what the parts left

summary.json has the sums of the parts' params, steps and seconds, what each has under "runs", the
data that all of them read, and the names of those that failed.

The parts that read files read the same ones. To know what --data holds, --resume builds one of the
finished parts, which takes as long as reading does, and compares its fingerprint with theirs; parts
that are continued compare it themselves. Where all are finished, --resume only draws and sums up
again: that needs no --data, nor the parts' checkpoints unless the report reads them.

A part is the run that `nnseq.train.run` makes of its options, to the bit, whatever ran before it in
the same process, so that a sweep continued with --resume ends as one that was never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nnseq.backend import DeviceError
from nnseq.checkpoint import CheckpointError, previous_path, write_durably
from nnseq.data.files import DataError
from nnseq.options import OptionError, Options, differences
from nnseq.plots import Panel, draw
from nnseq.runs.folder import RunFolder, naming, read_summary
from nnseq.runs.interrupt import Interrupted, Interrupts
from nnseq.runs.report import summary_of_parts
from nnseq.runs.settings import resolved, settings
from nnseq.task import Task
from nnseq.train import run

OF_THE_SWEEP = ("out", "resume", "overwrite", "eval", "load_weight", "smoke", "preset")


@dataclass(frozen=True)
class SweepOptions(Options):
    """The shared options, without those that speak of one model's file.

    Raises:
        OptionError: as Options, or --eval or --load_weight came.
    """

    def check(self) -> None:
        for name in ("eval", "load_weight"):
            if getattr(self, name):
                raise OptionError(
                    f"--{name} came, but this command trains several models; give it to the "
                    "experiment that trains one"
                )

    def for_parts(self, *names: str) -> dict[str, Any]:
        """The shared options that every part is given, and those of these names."""
        shared = [field.name for field in dataclasses.fields(Options)]
        return {name: getattr(self, name) for name in (*shared, *names) if name not in OF_THE_SWEEP}


class Part(NamedTuple):
    """One run of a sweep.

    Attributes:
        name: of its folder under --out.
        experiment: the name that its summary and messages have.
        options: as that experiment's own command line gives them; out, resume and overwrite are
            the sweep's.
        build: makes its task.
    """

    name: str
    experiment: str
    options: Options
    build: Callable[[Any], Task]


class Result(NamedTuple):
    """What a finished part left: itself, summary.json, and the lines of metrics.jsonl."""

    part: Part
    summary: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


class Report(NamedTuple):
    """What all parts together say.

    Attributes:
        rows: of metrics.jsonl.
        panels, columns: of curve.png, as nnseq.plots.draw.
        metrics: of summary.json.
    """

    rows: Sequence[Mapping[str, Any]]
    panels: Sequence[Panel]
    columns: int
    metrics: Mapping[str, float]


Finish = Callable[[Sequence[Result]], Report]


def run_parts(experiment: str, options: SweepOptions, parts: Sequence[Part], finish: Finish) -> int:
    """Trains every part that is not finished, then draws and sums up.

    Args:
        experiment: its name.
        options: the resolved options.
        parts: in the order in which they run; their out is set here.
        finish: makes the report of the parts that have a result.

    Returns:
        The exit code: that of `nnseq.train.run`; 1 also if a part failed, after the others have
        been trained.
    """
    try:
        with Interrupts():
            return _run_parts(experiment, options, parts, finish)
    except Interrupted as interrupted:
        print(f"{experiment}: {interrupted}", file=sys.stderr)
        return interrupted.code
    except (OptionError, DeviceError) as error:
        print(f"{experiment}: {error}", file=sys.stderr)
        return 2
    except (CheckpointError, DataError, OSError) as error:
        print(f"{experiment}: {error}", file=sys.stderr)
        return 1


def _run_parts(
    experiment: str, options: SweepOptions, parts: Sequence[Part], finish: Finish
) -> int:
    options = resolved(options)
    parts = [_placed(part, options) for part in parts]
    _check_use(options, parts)
    with _opened(options) as folder:
        if options.overwrite:
            for part in parts:
                _discard(part)
        finished = _finished(parts)
        _check_data(parts, finished)
        failed = []
        for number, part in enumerate(parts, 1):
            is_finished = part.name in finished
            print(f"[{number}/{len(parts)}] {part.name}{' is finished' * is_finished}", flush=True)
            code = 0 if is_finished else _train(part)
            if code not in (0, 1):
                return code
            failed += [part.name] * code
        results = [_result(part) for part in parts if part.name not in failed]
        if results:
            with settings(options):
                report = finish(results)
            summaries = {result.part.name: result.summary for result in results}
            _write(folder, summary_of_parts(experiment, options, summaries, failed), report)
    for result in results:
        shown = "  ".join(f"{k} {v:.6g}" for k, v in result.summary["metrics"].items())
        print(f"{result.part.name}: {shown}  {result.summary['seconds']:.1f} s")
    if failed:
        print(f"{experiment}: failed: {', '.join(failed)}; see the lines above", file=sys.stderr)
    return int(bool(failed))


def _placed(part: Part, options: SweepOptions) -> Part:
    """The part with its folder, and with device, threads and kernels decided."""
    own = dataclasses.replace(
        part.options, out=f"{options.out}/{part.name}", resume=False, overwrite=False
    )
    return part._replace(options=resolved(own))


def _check_use(options: SweepOptions, parts: Sequence[Part]) -> None:
    """Raises OptionError where --out holds runs and nothing was said of them, or the reverse."""
    is_started = any(_has_run(part) for part in parts)
    if options.resume and not is_started:
        raise OptionError(f"--resume: {options.out} holds no run to continue; drop --resume")
    if is_started and not (options.resume or options.overwrite):
        raise OptionError(
            f"--out: {options.out} already holds runs, expected a folder without; give --resume to "
            "continue them, --overwrite to discard them, or another --out"
        )


def _has_run(part: Part) -> bool:
    summary = read_summary(_folder(part) / "summary.json")
    return _has_checkpoint(part) or (summary is not None and summary["steps"] > 0)


def _has_checkpoint(part: Part) -> bool:
    path = _folder(part) / "checkpoint.h5"
    return path.exists() or previous_path(path).exists()


def _discard(part: Part) -> None:
    """Removes what an earlier run of the part left."""
    if _has_run(part):
        with _opened(part.options) as folder:
            folder.start()  # a task's own leaves go when the part begins: only its task names them


def _finished(parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """The summaries of the parts that have been trained to their end, by name.

    Raises:
        OptionError: what is there was trained with other options, or cannot go on.
    """
    found = {}
    for part in parts:
        summary, last_step = read_summary(_folder(part) / "summary.json"), part.options.max_steps
        if summary is None or not _has_run(part):
            continue
        faults = differences(part.options, summary["options"])
        if last_step is not None and summary["steps"] > last_step:
            faults.append(f"it has {summary['steps']} steps, --max_steps is {last_step}")
        if faults:
            raise OptionError(
                f"--resume: {_folder(part)} was made with other options: {'; '.join(faults)}; give "
                "the same, or another --out"
            )
        if summary["options"]["max_steps"] == last_step:
            found[part.name] = summary
        elif not _has_checkpoint(part):
            raise OptionError(
                f"--resume: {_folder(part)} holds no checkpoint.h5 to continue from, only what is "
                f"left of {summary['steps']} steps; put the file back, give the --max_steps of "
                "before, or another --out"
            )
    return found


def _check_data(parts: Sequence[Part], finished: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises OptionError where a finished part has read other data than --data names now."""
    reading = [p for p in parts if finished.get(p.name, {}).get("data_fingerprint")]
    if not reading:
        return
    options = reading[0].options
    if len(finished) == len(parts) and getattr(options, "data", None) is None:
        return
    with settings(options), closing(reading[0].build(options)) as task:
        came = task.data_note.fingerprint
    for part in reading:
        expected = finished[part.name]["data_fingerprint"]
        if came != expected:
            raise OptionError(
                f"--data: data with the fingerprint {came or '(none)'} came, expected {expected}, "
                f"as {_folder(part)} was trained on; name the folder with the same files, or "
                "another --out"
            )


def _train(part: Part) -> int:
    """Begins or continues the part; returns the exit code."""
    own = dataclasses.replace(part.options, resume=_has_checkpoint(part))
    return run(part.experiment, own, part.build)


def _result(part: Part) -> Result:
    with _opened(part.options) as folder:
        return Result(part, json.loads(folder.summary.read_text()), folder.rows())


def _write(folder: RunFolder, summary: dict[str, Any], report: Report) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in report.rows)
    with naming(folder.metrics):
        write_durably(folder.metrics, lines.encode())
    with naming(folder.curve):
        draw(folder.curve, report.panels, report.columns)
    folder.write_summary({**summary, "metrics": dict(report.metrics)})


def _opened(options: Options) -> RunFolder:
    """The folder of options, held, whatever it has in it; it is only discarded by start()."""
    return RunFolder(dataclasses.replace(options, resume=False, overwrite=True))


def _folder(part: Part) -> Path:
    return Path(str(part.options.out))
