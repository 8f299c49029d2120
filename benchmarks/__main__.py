"""Run the benchmarks: a table at the end, a line of JSON as each figure is there."""

from __future__ import annotations

import argparse
import sys

from benchmarks import drawing, exporting, growth, posting, reporting, verifying, waiting
from benchmarks.measure import Result, Scale, server, table, tell

BENCHMARKS = {
    "post_entries": posting.post_entries,
    "post_documents": posting.post_documents,
    "memory": posting.memory,
    "recognize": reporting.recognition,
    "growth": growth.growing,
    "seal": growth.sealing,
    "verify": verifying.verifying,
    "draw": drawing.drawing,
    "waiting": waiting.waiting,
    "workbook": exporting.exporting,
    "cli": reporting.command_line,
}


def main() -> int:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, three pairs")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; expected {', '.join(BENCHMARKS)}")
    scale = Scale(chosen.quick)
    results: list[Result] = []
    with server() as running:
        for name, bench in BENCHMARKS.items():
            if chosen.names and name not in chosen.names:
                continue
            tell(f"{name}: {(bench.__doc__ or '').splitlines()[0]}")
            for result in bench(running, scale):
                results.append(result)
                sys.stdout.write(f"{result.line()}\n")
                sys.stdout.flush()
    tell(f"\n{table(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
