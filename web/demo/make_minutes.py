"""Makes minutes.csv from the Azure LLM inference traces: figures per minute, with the rows each is made of.

    python -m web.demo.make_minutes FOLDER > web/demo/minutes.csv

FOLDER holds AzureLLMInferenceTrace_conv.csv and AzureLLMInferenceTrace_code.csv from Azure/AzurePublicDataset.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from adapters.into.usage_csv import tally

TRACES = {"chat": "AzureLLMInferenceTrace_conv.csv", "code": "AzureLLMInferenceTrace_code.csv"}
COLUMNS = ("customer", "trace", "minute", "first_row", "last_row", "requests", "prompt_tokens", "generated_tokens")


def main(folder: Path) -> None:
    """Write the figures of both traces to standard output."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for customer, name in TRACES.items():
        with (folder / name).open(encoding="utf-8", newline="") as stream:
            for item in tally(stream, "TIMESTAMP", ("ContextTokens", "GeneratedTokens"), "minute"):
                writer.writerow([customer, name, item.span, item.first_row, item.last_row, item.rows, *item.sums])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
