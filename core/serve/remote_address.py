"""A model that somebody else serves: its address, its name, and how it is asked. Knows no network.

Everywhere that a model is told by one word (a column of the chat, a conversation's file, a slash command), a served
one is `http://host:8000/v1#NAME`. Its key is not part of anything here: only the name of the environment variable
is, which is read when a request is sent.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from core.config.address import SCHEMES, address_problem
from core.errors import ServerError
from core.i18n import _
from core.untrusted import inert_line

if TYPE_CHECKING:
    from core.config.remote import RemoteOptions

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_SECONDS = 15.0
"""How long a person waits for a server's first word."""
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127(\.\d+){3}|::1|0\.0\.0\.0")


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server and one of its models."""

    api_base: str
    """Up to and with the version: `http://127.0.0.1:8000/v1`."""
    model: str = ""
    """Empty: the only one that it has (`core.serve.remote.resolved`)."""
    key_variable: str = KEY_VARIABLE
    concurrency: int = 8
    timeout: float = 120.0
    """Seconds that it may be silent."""
    retries: int = 4
    first_pause: float = 1.0
    """Seconds before the first retry; each further pause is three times as long, at most a minute."""

    @property
    def name(self) -> str:
        """The one word: `http://host:8000/v1#NAME`."""
        return f"{self.api_base}#{self.model}"

    @property
    def host(self) -> str:
        """Where it is, for a person: `host:8000`."""
        return self.parts.netloc

    @property
    def label(self) -> str:
        """For a person: `NAME @ host:8000`."""
        return f"{self.model} @ {self.host}" if self.model else self.host

    @property
    def parts(self) -> SplitResult:
        """The address, taken apart.

        Raises:
            ServerError: it is none.
        """
        if problem := address_problem(self.api_base):
            raise _no_address(self.api_base, problem)
        return urlsplit(self.api_base)

    @property
    def loopback(self) -> bool:
        """Whether it runs on this machine: no proxy is asked then, and nobody listens in."""
        return _LOOPBACK.fullmatch((self.parts.hostname or "").lower()) is not None

    def key(self) -> str:
        """The key as the environment has it now; empty where there is none.

        Raises:
            ServerError: it cannot stand in a header. The message does not hold it.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ServerError(
                _("the key in {variable} holds characters that no key has").format(variable=self.key_variable),
                _("set it anew, without quotes, spaces and line ends"),
                for_all=True,
            )
        return key


def server_of(options: RemoteOptions) -> Server | None:
    """The server of a command line or a configuration; None: models are loaded here."""
    if options.api_base is None:
        return None
    return Server(
        options.api_base.rstrip("/"),
        options.api_model or "",
        options.api_key_variable,
        options.api_concurrency,
        options.api_timeout,
        options.api_retries,
    )


def relay_command(server: Server) -> list[str]:
    """What to start for a server; the key is not in it."""
    return [sys.executable, "-P", "-m", "core.serve.relay", json.dumps(dataclasses.asdict(server))]


def is_served(model: str) -> bool:
    """Whether a model's name is the address of a served one."""
    return model.startswith(SCHEMES)


def parse_name(text: str, key_variable: str = KEY_VARIABLE) -> Server:
    """The server of `http://host/v1#NAME`, `http://host/v1 NAME`, or of the address alone.

    Raises:
        ServerError: no address that can be asked.
    """
    address, _mark, model = text.strip().replace(" ", "#", 1).partition("#")
    server = Server(address.rstrip("/"), model.strip(), key_variable)
    _checked = server.parts
    return server


def shown_name(model: str) -> str:
    """A model's name for a person: `NAME @ host:8000` for served ones, others as they are."""
    if not is_served(model):
        return model
    try:
        return parse_name(model).label
    except ServerError:
        return model


def _no_address(address: str, problem: str) -> ServerError:
    shown = re.sub(r"//[^/@]*@", "//…@", inert_line(address))
    return ServerError(
        _("the address {address} {problem}").format(address=shown, problem=problem),
        _("write it as http://127.0.0.1:8000/v1"),
        for_all=True,
    )
