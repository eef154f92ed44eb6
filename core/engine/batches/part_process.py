"""Rows tokenised by several processes: each is told a range of examples and writes a folder of its own.

They are started as programs, not forked: by the time rows are wanted torch may have threads, which do not survive a
fork, and multiprocessing's own ways of starting would import the training's main module, and torch with it. A process
ends with its standard input, so none outlives who asked for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from core.engine.batches.encoded_set import IDS, write_set
from core.engine.batches.recipe import Recipe, recipe_of
from core.engine.batches.tokenise import tokenise
from core.errors import DataError, FinetuiError
from core.i18n import _


def encode_parts(
    recipe: Recipe, count: int, processes: int, folder: Path, on_progress: Callable[[float], None]
) -> list[Path]:
    """Have all rows encoded; the folders of the parts, in the order of the rows.

    Raises:
        DataError: a process could not do its part.
    """
    bounds = [count * number // processes for number in range(processes + 1)]
    parts = [folder / f"part-{number:03d}" for number in range(processes)]
    with contextlib.ExitStack() as stack:
        children = []
        for number, part in enumerate(parts):
            part.mkdir()
            job = {"recipe": recipe.to_json(), "first": bounds[number], "end": bounds[number + 1], "folder": str(part)}
            children.append(stack.enter_context(_Child(job, part / "errors.log")))
        _follow(children, count, on_progress)
    return parts


class _Child:
    """A process with its part of the rows; leaving the context ends it."""

    def __init__(self, job: dict[str, object], log: Path) -> None:
        self._job, self._log = job, log
        self.done = 0

    def __enter__(self) -> _Child:
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONSAFEPATH": "1"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(json.dumps(self._job).encode() + b"\n")
        stdin.flush()
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def check(self) -> None:
        """Raise what it ended with, if it did not end well."""
        if self.process.wait() == 0:
            return
        lines = self._log.read_text(errors="replace").strip().splitlines() or [f"exit code {self.process.returncode}"]
        message, _colon, hint = lines[-1].partition("\t")
        raise DataError(message, hint)


def _follow(children: Sequence[_Child], count: int, on_progress: Callable[[float], None]) -> None:
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.output, selectors.EVENT_READ, child)
        while selector.get_map():
            for key, _events in selector.select():
                told: _Child = key.data
                line = told.output.readline()
                if line:
                    told.done = int(line)
                    on_progress(sum(child.done for child in children) / count)
                else:
                    selector.unregister(told.output)
                    told.check()


def main() -> None:
    """Do the part that standard input describes."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    recipe, folder = recipe_of(job["recipe"]), Path(job["folder"])
    first, end = job["first"], job["end"]

    try:
        with (folder / IDS).open("wb") as ids:
            made = tokenise(recipe, range(first, end), ids=ids, on_row=_tell)
        write_set(folder, made)
    except FinetuiError as error:
        print(error.message.replace("\n", " "), error.hint, sep="\t", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(_("the tokens cannot be written: {reason}").format(reason=error), file=sys.stderr)
        sys.exit(1)


def _tell(done: int) -> None:
    print(done, flush=True)


def _end_with_input() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would hang in the air when the work is done first
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
