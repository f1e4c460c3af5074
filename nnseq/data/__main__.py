"""`python -m nnseq.data`: fetch data sets, list them, convert NTU RGB+D.

    python -m nnseq.data list
    python -m nnseq.data fetch mnist [--data DIR] [--sha256 HEX]
    python -m nnseq.data convert_ntu SKELETON_FOLDER OUT --benchmark cross_view

Exit codes: 0 done, 1 failed, 2 asked for something that cannot be, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from nnseq.data.download import TIMEOUT
from nnseq.data.fetch import RequestError, fetch
from nnseq.data.files import DataError
from nnseq.data.meter import Meter
from nnseq.data.ntu_files import BENCHMARKS
from nnseq.data.source_files import ENVIRONMENT
from nnseq.data.sources import SETS

PROGRAM = "nnseq.data"
LONGEST_TIMEOUT = 86_400  # seconds


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROGRAM}: {message}; {self.prog} --help says more\n")


def parser() -> Parser:
    """The command line."""
    top = Parser(prog="python -m nnseq.data", allow_abbrev=False, description="data sets")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="data sets, their files, sizes, hashes and sources")

    of_fetch = commands.add_parser(
        "fetch",
        help="download a data set",
        allow_abbrev=False,
        epilog=f"With {ENVIRONMENT}=http://host:port/prefix every file is looked for below that "
        "address: at its usual path, as SET/FILE, and as FILE. An interrupted download goes on "
        "where it stopped when the command is given again.",
    )
    of_fetch.add_argument("name", metavar="NAME", help=", ".join(SETS))
    of_fetch.add_argument("--data", metavar="DIR", help="folder of the files (default: data/NAME)")
    of_fetch.add_argument(
        "--sha256",
        metavar="HEX",
        action="append",
        default=[],
        help="SHA-256 of the file that has no known one, or FILE=HEX for any file of the set; may "
        "be given several times",
    )
    of_fetch.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=TIMEOUT,
        help="time without a byte after which a connection is given up (default: %(default)s)",
    )

    of_ntu = commands.add_parser(
        "convert_ntu", help="NTU RGB+D: .skeleton files to .npy files", allow_abbrev=False
    )
    of_ntu.add_argument("skeletons", metavar="SKELETON_FOLDER", help="holds the .skeleton files")
    of_ntu.add_argument("out", metavar="OUT", help="folder of the .npy files")
    of_ntu.add_argument("--benchmark", choices=BENCHMARKS, default=BENCHMARKS[0])
    return top


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    options = parser().parse_args(argv)
    try:
        if options.command == "list":
            print("\n".join(listing()))
        elif options.command == "convert_ntu":
            print(convert_ntu(options.skeletons, options.out, options.benchmark))
        elif not 0 < options.timeout <= LONGEST_TIMEOUT:
            expected = f"seconds above 0 and up to {LONGEST_TIMEOUT}"
            raise RequestError(f"--timeout: {options.timeout} came, expected {expected}")
        else:
            folder = fetch(options.name, options.data, options.sha256, timeout=options.timeout)
            print(f"{options.name} is in {folder}")
    except (DataError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except KeyboardInterrupt:
        kept = "; what came is kept, the same command goes on" if options.command == "fetch" else ""
        print(f"{PROGRAM}: interrupted{kept}", file=sys.stderr)
        return 130
    return 0


def listing() -> list[str]:
    """The lines of `list`."""
    lines = []
    for name, data_set in SETS.items():
        lines.append(f"{name}: {data_set.about}")
        if data_set.obtain:
            lines.append(f"  {data_set.obtain}")
        for file in data_set.files:
            size = f"{file.size:,} bytes" if file.size else "size unknown"
            known = f"SHA-256 {file.sha256}" if file.sha256 else "SHA-256 unknown (--sha256 HEX)"
            lines.append(f"  {file.name}, {size}, {known}")
            if file.note:
                lines.append(f"    {file.note}")
            if file.members:
                lines.append(f"    holds {', '.join(member.name for member in file.members)}")
            lines += [f"    {url}" for url in file.urls]
    return lines


def convert_ntu(skeletons: str, out: str, benchmark: str) -> str:
    """Converts skeleton files; returns what was done."""
    from nnseq.data.ntu import convert

    with Meter("convert_ntu", "files") as meter:

        def progress(done: int, total: int) -> None:
            if done == 1:
                meter.begin(0, total)
            meter.move(1)

        return convert(skeletons, out, benchmark, progress)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
