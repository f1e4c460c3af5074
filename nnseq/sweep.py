"""Several runs as one command: each in its own folder, skipped when done, then a picture of all.

    run_parts(experiment, options, parts, finish)    what main() of such an experiment returns

    <out>/<part>/       an ordinary run: metrics.jsonl, checkpoint.h5, curve.png, summary.json
    <out>/metrics.jsonl, curve.png, summary.json     of all together, from what the parts left

summary.json has the sums of the parts' params, steps and seconds, what each has under "runs", and
the names of those that failed.

A part is the run that `nnseq.train.run` makes of its options, to the bit, whatever ran before it in
the same process, so that a sweep continued with --resume ends as one that was never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nnseq.backend import DeviceError
from nnseq.checkpoint import previous_path, write_durably
from nnseq.machine import versions
from nnseq.options import OptionError, Options, differences
from nnseq.plots import Panel, draw
from nnseq.runs.folder import RunFolder, naming
from nnseq.runs.interrupt import Interrupted, Interrupts
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
    except OSError as error:
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
        failed = []
        for number, part in enumerate(parts, 1):
            is_finished = _is_finished(part)
            print(f"[{number}/{len(parts)}] {part.name}{' is finished' * is_finished}", flush=True)
            code = 0 if is_finished else _train(part)
            if code not in (0, 1):
                return code
            failed += [part.name] * code
        results = [_result(part) for part in parts if part.name not in failed]
        if results:
            with settings(options):
                report = finish(results)
            _write(folder, _summary(experiment, options, results, failed), report)
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
    path = _folder(part)
    return path.is_dir() and any(
        (path / name).exists() for name in ("checkpoint.h5", previous_path(Path("checkpoint.h5")))
    )


def _discard(part: Part) -> None:
    """Removes what an earlier run of the part left."""
    if _has_run(part):
        with _opened(part.options) as folder:
            folder.start()


def _is_finished(part: Part) -> bool:
    """Whether the part has been trained to its end.

    Raises:
        OptionError: what is there was trained with other options.
    """
    file = _folder(part) / "summary.json"
    if not file.exists():
        return False
    summary, last_step = json.loads(file.read_text()), part.options.max_steps
    faults = differences(part.options, summary["options"])
    if last_step is not None and summary["steps"] > last_step:
        faults.append(f"it has {summary['steps']} steps, --max_steps is {last_step}")
    if faults:
        raise OptionError(
            f"--resume: {file.parent} was made with other options: {'; '.join(faults)}; give the "
            "same, or another --out"
        )
    return bool(summary["options"]["max_steps"] == last_step)


def _train(part: Part) -> int:
    """Begins or continues the part; returns the exit code."""
    own = dataclasses.replace(part.options, resume=_has_run(part))
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


def _summary(
    experiment: str,
    options: SweepOptions,
    results: Sequence[Result],
    failed: Sequence[str],
) -> dict[str, Any]:
    summaries = {result.part.name: result.summary for result in results}
    counts, shown = ("params", "steps", "seconds"), ("metrics", "kernels")
    total = {k: sum(s[k] for s in summaries.values()) for k in counts}
    own = _differing({name: s["options"] for name, s in summaries.items()})
    return {
        "experiment": experiment,
        "options": options.as_dict(),
        **total,
        "seconds": round(total["seconds"], 3),
        "metrics": {},  # of the report
        "device": options.device,
        "kernels": {op: name for s in summaries.values() for op, name in s["kernels"].items()},
        "threads": options.threads,
        "versions": versions(),
        "runs": {
            name: {"options": own[name], **{k: s[k] for k in (*counts, *shown)}}
            for name, s in summaries.items()
        },
        "failed": list(failed),
    }


def _differing(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each part's options those that are not the same in all parts; not their folders."""
    first = next(iter(options.values()), {})
    names = {k for own in options.values() for k in own if own[k] != first.get(k)} - {"out"}
    return {part: {k: own[k] for k in own if k in names} for part, own in options.items()}
