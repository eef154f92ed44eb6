"""Run every benchmark, each in a process of its own; end with exit code 1 when a budget is missed."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "commands",
    "listing",
    "data",
    "tokens",
    "first_frame",
    "idle",
    "curves",
    "transcript",
    "streaming",
    "decode",
    "predict",
    "train",
    "preferences",
    "ppo",
    "score",
    "review",
)


def main() -> None:
    codes = []
    for name in sys.argv[1:] or ALL:
        print(f"\n### {name}\n", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode)
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
