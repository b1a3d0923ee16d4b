#!/usr/bin/env python3
"""Counts words. Called as `words.py count --file=… --most=5` or `words.py report --to=… …`."""

import argparse
import collections
import json
import pathlib
import re
import sys

# counted where no file is given, so that the workflow runs anywhere
ITSELF = pathlib.Path(__file__).parents[1] / "workflow.md"


def count(file: str | None, most: int) -> dict[str, object]:
    """Words of a file, and the most frequent ones."""
    text = pathlib.Path(file or ITSELF).read_text(encoding="utf-8")
    words = re.findall(r"\w+", text.lower())
    frequent = collections.Counter(words).most_common(most)
    return {
        "words": len(words),
        "frequent": [{"word": word, "times": times} for word, times in frequent],
    }


def report(to: str, words: int, frequent: list[dict[str, object]]) -> dict[str, object]:
    """Write the counts as Markdown."""
    path = pathlib.Path(to)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"| {row['word']} | {row['times']} |" for row in frequent)
    path.write_text(f"# {words} words\n\n| word | times |\n|-|-:|\n{rows}\n", encoding="utf-8")
    return {"path": str(path)}


def main() -> None:
    """Read the arguments, do the operation, print its output as JSON."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="operation", required=True)
    counting = verbs.add_parser("count")
    counting.add_argument("--file")
    counting.add_argument("--most", type=int, default=5)
    reporting = verbs.add_parser("report")
    reporting.add_argument("--to", required=True)
    reporting.add_argument("--words", type=int, required=True)
    reporting.add_argument("--frequent", type=json.loads, required=True)
    given = parser.parse_args()
    try:
        if given.operation == "count":
            result = count(given.file, given.most)
        else:
            result = report(given.to, given.words, given.frequent)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
