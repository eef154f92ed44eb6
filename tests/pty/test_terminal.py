"""The test terminal itself: it shows what a terminal shows, answers what one answers, and notices what is left."""

from __future__ import annotations

import signal
import sys

from sequences import Token, tokens
from terminal import Terminal


def python(code: str, **options: object) -> Terminal:
    return Terminal([sys.executable, "-c", code], **options)  # type: ignore[arg-type]


def test_tokens_are_cut_where_sequences_end_and_not_where_reads_end() -> None:
    data = b"a\x1b[31mb\x1b]52;c;eA==\x07\x1bPq\x1b\\\x07\xc2\x9b1m\x1b7\x1b["
    assert tokens(data) == [
        Token("text", "a"),
        Token("csi", "\x1b[31m"),
        Token("text", "b"),
        Token("osc", "\x1b]52;c;eA==\x07"),
        Token("string", "\x1bPq\x1b\\"),
        Token("control", "\x07"),
        Token("control", "\x9b"),
        Token("text", "1m"),
        Token("escape", "\x1b7"),
        Token("control", "\x1b["),
    ]


def test_a_screen_is_read_as_a_person_reads_it() -> None:
    with python(
        "print('\\x1b[5;3H\\x1b[1mhere 你好\\x1b[0m', end='', flush=True); input()", cols=40, rows=10
    ) as terminal:
        terminal.wait_for("here 你好")
        assert terminal.screen()[4] == "  here 你好"
        terminal.press("enter")
        terminal.assert_ends()


def test_the_alternate_screen_leaves_the_main_one_alone() -> None:
    with python(
        "print('before', flush=True); print('\\x1b[?1049hinside', flush=True); input(); print('\\x1b[?1049l')"
    ) as t:
        t.wait_for("inside")
        assert "before" not in t.text()
        t.press("enter")
        t.wait()
        assert "before" in t.text()
        assert "inside" not in t.text()


def test_queries_are_answered() -> None:
    code = """
import sys, termios, tty, os
before = termios.tcgetattr(0); tty.setcbreak(0)
sys.stdout.write('\\x1b[?2026$p\\x1b[?2048$p\\x1b[6n\\x1b[c'); sys.stdout.flush()
data = b''
while not data.endswith(b'c'): data += os.read(0, 100)
termios.tcsetattr(0, termios.TCSADRAIN, before); print(ascii(data))
"""
    with python(code) as terminal:
        terminal.wait()
        assert r"'\x1b[?2026;2$y\x1b[?2048;0$y\x1b[1;1R\x1b[?62;22c'" in terminal.text()


def test_what_a_program_does_not_put_back_is_noticed() -> None:
    code = "import tty; tty.setraw(0); print('\\x1b[?1049h\\x1b[?25l\\x1b[?1003h\\x1b[>25u', end='', flush=True)"
    with python(code) as terminal:
        terminal.wait()
        assert terminal.left_behind() == [
            "private mode 1003 is still set",
            "private mode 1049 is still set",
            "private mode 25 is still reset",
            "the kitty keyboard protocol is still on",
            "the line discipline (echo, signals, flow control) is not as before",
        ]


def test_nothing_is_noticed_about_a_program_that_cleans_up() -> None:
    code = "print('\\x1b[?1049h\\x1b[?25l\\x1b[>25u' + '\\x1b[<u\\x1b[?25h\\x1b[?1049l', end='', flush=True)"
    with python(code) as terminal:
        terminal.wait()
        assert terminal.left_behind() == []


def test_children_are_found_even_after_their_parent() -> None:
    code = """
import subprocess
subprocess.Popen(['sleep', '600'], start_new_session=True)
print('on', flush=True); input()
"""
    with python(code) as terminal:
        terminal.wait_for("on")
        assert list(terminal.children().values()) == ["sleep 600 "]
        terminal.signal(signal.SIGKILL)
        terminal.assert_ends(-signal.SIGKILL)
        assert list(terminal.processes().values()) == ["sleep 600 "]
    terminal.assert_all_gone()


def test_a_lost_connection_is_a_hangup() -> None:
    code = "import signal; signal.signal(1, lambda *_: exit(3)); print('on', flush=True); signal.pause()"
    with python(code) as terminal:
        terminal.wait_for("on")
        terminal.hang_up()
        terminal.assert_ends(3)


def test_a_resize_reaches_the_program() -> None:
    code = """
import os, signal
signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(), flush=True))
print('on', flush=True)
while True: signal.pause()
"""
    with python(code) as terminal:
        terminal.wait_for("on")
        terminal.resize(50, 12)
        terminal.wait_for("columns=50, lines=12")
