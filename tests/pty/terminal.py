"""A terminal for tests: a program runs on a real pty, its screen can be read, its keys pressed, its end inspected.

It behaves as xterm, kitty or tmux do where programs can tell: it answers their queries, has an alternate screen, and
keeps the account of every mode, so that `left_behind` knows what a program did not put back. Nothing sleeps: every
wait reads what the program writes until a condition holds, and fails with the screen when it never does.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte
from wcwidth import wcwidth

from sequences import Token, Tokenizer
from waiting import PATIENCE

_MARK = "FINETUI_TEST_MARK"
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    **{
        f"alt+{name}": f"\x1b[1;3{letter}" for name, letter in zip(("up", "down", "right", "left"), "ABCD", strict=True)
    },
    **{
        f"ctrl+{name}": f"\x1b[1;5{letter}"
        for name, letter in zip(("up", "down", "right", "left"), "ABCD", strict=True)
    },
    **{f"ctrl+{chr(code + 0x60)}": chr(code) for code in range(1, 27)},
    **{f"f{number}": f"\x1bO{'PQRS'[number - 1]}" for number in range(1, 5)},
    **{
        f"f{number}": f"\x1b[{code}~"
        for number, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
    },
}

_NOT_PASTED = {ord(control): " " for control in "\x1b\b\x7f\0"}
_ESCAPE_DELAY = 0.15
_CURSOR_SHOWN, _LINE_WRAP = 25, 7
_MODES_ON_AT_START = {_CURSOR_SHOWN, _LINE_WRAP}
_ALTERNATE_SCREEN = {47, 1047, 1049}


class Terminal:
    """A program on a terminal of its own.

    Args:
        argv: the program.
        env: added to the environment; a value of None removes the name.
        emulate: keep a screen to read; without it output is only counted, which costs a tenth.
        kitty: speak the kitty keyboard protocol when asked.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        cols: int = 120,
        rows: int = 36,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        emulate: bool = True,
        kitty: bool = False,
    ) -> None:
        self.cols, self.rows, self.kitty = cols, rows, kitty
        self.raw = bytearray()
        self.tokens: list[Token] = []
        self.reads: list[tuple[float, int]] = []
        """When output came, on `time.perf_counter`'s clock, and how long it had become by then."""
        self.modes = set(_MODES_ON_AT_START)
        self.keyboard_stack: list[int] = []
        self._tokenizer = Tokenizer()
        self._emulate = emulate
        self._screens = [pyte.Screen(cols, rows), pyte.Screen(cols, rows)]
        self._streams = [pyte.Stream(screen) for screen in self._screens]
        self._alternate = False
        self._mark = uuid.uuid4().hex
        self._master, self._slave = pty.openpty()
        self.resize(cols, rows)
        self._termios_before = termios.tcgetattr(self._slave)
        self.started = time.perf_counter()
        self.process = self._start([str(part) for part in argv], dict(env or {}), cwd)

    def _start(self, argv: list[str], env: dict[str, str | None], cwd: Path | None) -> subprocess.Popen[bytes]:
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", _MARK: self._mark, **env}
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX")}
        environment = {name: value for name, value in {**inherited, **settings}.items() if value is not None}
        return subprocess.Popen(
            argv,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what a person does ---------------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Press keys by name, or single characters."""
        for key in keys:
            self.send(KEYS.get(key, key))
            if key == "escape":  # with another key right behind it, it would be alt and that key
                self._await_taken()
                self._read_for(_ESCAPE_DELAY)

    def type(self, text: str) -> None:
        """Type text, newlines as enter."""
        self.send(text.replace("\n", "\r"))

    def paste(self, text: str) -> None:
        """Paste as xterm does: bracketed where that was asked for, newlines as enter, a few controls as blanks."""
        text = text.translate(_NOT_PASTED).replace("\n", "\r")
        self.send(f"\x1b[200~{text}\x1b[201~" if 2004 in self.modes else text)

    def send(self, data: str | bytes) -> None:
        """Send bytes as they are, reading meanwhile: a full pty must not block both sides."""
        rest = data.encode() if isinstance(data, str) else data
        while rest:
            _, writable, _ = select.select([], [self._master], [], 0.05)
            rest = rest[os.write(self._master, rest[:4096]) :] if writable else rest
            self.pump(0)

    def resize(self, cols: int, rows: int) -> None:
        self.cols, self.rows = cols, rows
        for screen in self._screens:
            screen.resize(rows, cols)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """Lose the connection: the terminal is gone, and the kernel says so to the program."""
        os.close(self._master)
        self._master = -1

    # --- what a person sees ---------------------------------------------------------------------------------------

    def screen(self) -> list[str]:
        """The lines on the screen, without the blanks at their ends."""
        shown = self._screens[self._alternate]
        return [_line([shown.buffer[y][x].data for x in range(shown.columns)]) for y in range(shown.lines)]

    def text(self) -> str:
        return "\n".join(self.screen())

    def pump(self, seconds: float = 0.05) -> bool:
        """Read what comes within a time, and answer its queries. False when nothing came."""
        if self._master < 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self.raw += data
        self.reads.append((time.perf_counter(), len(self.raw)))
        for token in self._tokenizer.feed(data):
            self._take(token)
        return True

    def _read_all(self) -> None:
        """Read what has been written, and no more than a terminal's buffers hold: a program may never stop."""
        for _read in range(64):
            if not self.pump(0):
                return

    def _await_taken(self) -> None:
        """Read until the program has taken what was sent."""
        waiting = bytearray(4)

        def is_taken() -> bool:
            fcntl.ioctl(self._slave, termios.FIONREAD, waiting)
            return waiting == bytes(4)

        self.wait_until(is_taken, "the keys' way into the program")

    def _read_for(self, seconds: float) -> None:
        ended = time.monotonic() + seconds
        while (left := ended - time.monotonic()) > 0:
            self.pump(left)

    def wait_for(self, wanted: str | Callable[[str], object], timeout: float = PATIENCE) -> str:
        """Read until a text stands on the screen, or a condition on the screen's text holds; return that text."""
        holds = (lambda shown: wanted in shown) if isinstance(wanted, str) else wanted
        return self.wait_until(
            lambda: holds(self.text()), wanted if isinstance(wanted, str) else "the condition", timeout
        )

    def wait_for_raw(self, wanted: bytes, timeout: float = PATIENCE, start: int = 0) -> str:
        """Read until these bytes have been written."""
        return self.wait_until(lambda: wanted in self.raw[start:], repr(wanted), timeout)

    def wait_until(self, holds: Callable[[], object], wanted: str, timeout: float = PATIENCE) -> str:
        """Read until a condition holds; `wanted` says which when it does not."""
        deadline = time.monotonic() + timeout
        while not holds():
            has_ended = self.process.poll() is not None
            if time.monotonic() > deadline or (not self.pump() and has_ended):
                self._read_all()
                assert holds(), f"{wanted!r} did not come ({self._state()}); the screen:\n{self._framed()}"
        return self.text()

    def settle(self, quiet: float = 0.15, timeout: float = PATIENCE) -> str:
        """Read until nothing was written for a while."""
        deadline = time.monotonic() + timeout
        while self.pump(quiet):
            assert time.monotonic() < deadline, f"it never stops writing; the screen:\n{self._framed()}"
        return self.text()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Read until the program has ended; return its exit code, negative for a signal."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            self.pump()
            assert time.monotonic() < deadline, f"it does not end; the screen:\n{self._framed()}"
        self._read_all()
        return self.process.returncode

    def assert_ends(self, code: int = 0, timeout: float = PATIENCE) -> None:
        """Read until the program has ended, which it has to do with this exit code."""
        found = self.wait(timeout)
        assert found == code, f"ended with {found}, not {code}; the screen:\n{self._framed()}"

    def _state(self) -> str:
        code = self.process.poll()
        return "still running" if code is None else f"ended with {code}"

    def _framed(self) -> str:
        return "\n".join(f"|{line.ljust(self.cols)}|" for line in self.screen())

    # --- what is left ---------------------------------------------------------------------------------------------

    def left_behind(self) -> list[str]:
        """What the program did not put back: modes of the terminal, keyboard protocol, line discipline."""
        problems = [f"private mode {mode} is still set" for mode in sorted(self.modes - _MODES_ON_AT_START)]
        problems += [f"private mode {mode} is still reset" for mode in sorted(_MODES_ON_AT_START - self.modes)]
        if self.keyboard_stack:
            problems.append("the kitty keyboard protocol is still on")
        if termios.tcgetattr(self._slave) != self._termios_before:
            problems.append("the line discipline (echo, signals, flow control) is not as before")
        return problems

    def processes(self) -> dict[int, str]:
        """All processes that were started by the program or below it and still run, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{_MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended meanwhile, or is somebody else's
                continue
        return found

    def children(self) -> dict[int, str]:
        """The processes below the program."""
        return {pid: command for pid, command in self.processes().items() if pid != self.process.pid}

    def wait_for_children(self, count: int, timeout: float = PATIENCE) -> list[int]:
        self.wait_until(lambda: len(self.children()) == count, f"{count} child processes", timeout)
        return list(self.children())

    def assert_all_gone(self, timeout: float = PATIENCE) -> None:
        """Wait until no process is left of the program."""
        deadline = time.monotonic() + timeout
        while left := self.processes():
            assert time.monotonic() < deadline, f"still there: {left}"
            self.pump()

    def close(self) -> None:
        """End whatever still runs, and the terminal."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        for handle in (self._master, self._slave):
            if handle >= 0:
                os.close(handle)
        self._master = self._slave = -1

    # --- the terminal's side --------------------------------------------------------------------------------------

    def _take(self, token: Token) -> None:
        self.tokens.append(token)
        if token.kind == "csi":
            self._take_csi(token)
        elif token.kind == "osc" and token.text.startswith(("\x1b]10;?", "\x1b]11;?")):
            self._answer(f"{token.text[:4]};rgb:1111/1111/1111\x1b\\")
        if self._emulate and _understood_by_pyte(token):
            self._streams[self._alternate].feed(token.text)

    def _take_csi(self, token: Token) -> None:
        numbers = token.parameters()
        match token.text[2:3], token.text[-2:]:
            case "?", "$p":
                self._answer(f"\x1b[?{numbers[0]};{2 if numbers[0] == 2026 else 0}$y")
            case "?", ending if ending[-1] in "hl":
                self._set_modes(numbers, ending[-1] == "h")
            case ">", ending if ending[-1] == "u":
                self.keyboard_stack.append(numbers[0])
            case "<", ending if ending[-1] == "u":
                del self.keyboard_stack[-(numbers[0] if numbers else 1) :]
            case "?", ending if ending[-1] == "u" and self.kitty:
                self._answer(f"\x1b[?{self.keyboard_stack[-1] if self.keyboard_stack else 0}u")
            case _:
                self._answer(self._report(token.text))

    def _report(self, query: str) -> str:
        cursor = self._screens[self._alternate].cursor
        reports = {
            "\x1b[c": "\x1b[?62;22c",
            "\x1b[0c": "\x1b[?62;22c",
            "\x1b[>c": "\x1b[>1;10;0c",
            "\x1b[>q": "\x1bP>|test 1.0\x1b\\",
            "\x1b[5n": "\x1b[0n",
            "\x1b[6n": f"\x1b[{cursor.y + 1};{cursor.x + 1}R",
            "\x1b[14t": f"\x1b[4;{self.rows * 16};{self.cols * 8}t",
            "\x1b[16t": "\x1b[6;16;8t",
            "\x1b[18t": f"\x1b[8;{self.rows};{self.cols}t",
        }
        return reports.get(query, "")

    def _answer(self, text: str) -> None:
        if text:
            os.write(self._master, text.encode())

    def _set_modes(self, numbers: Sequence[int], on: bool) -> None:
        for number in numbers:
            (self.modes.add if on else self.modes.discard)(number)
            if number in _ALTERNATE_SCREEN:
                self._alternate = on
                self._screens[True].reset()


def _line(cells: list[str]) -> str:
    """A row of cells as text; what is left of a half overwritten wide character is a blank."""
    before = ["", *cells]
    return "".join(
        cell or ("" if wide and wcwidth(wide[0]) == 2 else " ") for wide, cell in zip(before, cells, strict=False)
    ).rstrip()


def _understood_by_pyte(token: Token) -> bool:
    """Other sequences would be drawn as text by it, or are none of a screen's business."""
    if token.kind == "csi":
        return token.text[2:3] not in "<=>" and token.text[-2] not in " !\"#$%&'()*+,-./"
    return token.kind in ("text", "control") or token.text in ("\x1b7", "\x1b8", "\x1bM", "\x1bD", "\x1bE", "\x1bc")
