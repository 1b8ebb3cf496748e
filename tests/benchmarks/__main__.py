"""Runs the benchmarks, and writes the table of docs/benchmarks.md from their results.

    python -m tests.benchmarks --list
    python -m tests.benchmarks overhead gemm [--data-dir DIR]
    python -m tests.benchmarks --table

Each script stores its results in `results/`. One that keeps what it measured measures only what is missing. All of them
together take several hours. Run them on an idle machine.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import table

FOLDER = Path(__file__).parent


def scripts() -> dict[str, Path]:
    """The benchmarks by name: the scripts that can be run alone."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if not path.stem.startswith("_")}
    return {name: path for name, path in found.items() if "argparse.ArgumentParser" in path.read_text("utf-8")}


def main() -> None:
    """Lists or runs benchmarks, then writes and prints the table."""
    known = scripts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the benchmarks to run")
    parser.add_argument("--data-dir", help="the folder that holds CIFAR-10, for the benchmarks that need it")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--table", action="store_true", help="write the table from the stored results")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"unknown: {', '.join(unknown)}. --list shows the benchmarks")
    if options.list or not (options.names or options.table):
        for name, path in known.items():
            doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            print(f"{name:16} {doc.splitlines()[0]}")
        return
    for name in options.names:
        takes_data = options.data_dir and '"--data-dir"' in known[name].read_text("utf-8")
        data = ["--data-dir", options.data_dir] if takes_data else []
        subprocess.run([sys.executable, str(known[name]), *data], check=True)
    table.write()
    print(table.table())


if __name__ == "__main__":
    main()
