"""The served models of a workspace: those that its person has asked once.

Only their addresses are kept, and the names of the variables with their keys. A conversation from elsewhere may name
any address: what is not remembered here is not called, so that opening a file sends nobody a key.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from core.errors import ServerError, WorkspaceError, did_you_mean
from core.i18n import _
from core.serve.remote_address import Server, parse_name, shown_name
from core.untrusted import inert_line
from core.workspace import Workspace, load_state, save_state

_KEPT = "served"


def remembered_servers(workspace: Workspace) -> dict[str, Server]:
    """The servers by their one word, the newest last. Of some only the address is known."""
    kept = load_state(workspace).get(_KEPT)
    servers = {}
    for name, variable in kept.items() if isinstance(kept, dict) else ():
        try:
            server = parse_name(name)
        except ServerError:  # a file edited by hand
            continue
        if isinstance(variable, str) and variable:
            server = dataclasses.replace(server, key_variable=variable)
        servers[server.name] = server
    return servers


def remember_server(workspace: Workspace, server: Server) -> None:
    """Keep a server for the next time.

    Raises:
        WorkspaceError: the workspace takes no files.
    """
    save_state(workspace, **{_KEPT: {server.name: server.key_variable}})


def remember_evaluated(workspace: Workspace, values: Mapping[str, Any]) -> None:
    """Keep the server that an evaluation asks, so that its rows can be asked again in the chat.

    Args:
        values: every option by its name.
    """
    if values["api_base"]:
        server = parse_name(f"{values['api_base']}#{values['api_model'] or ''}", values["api_key_variable"])
        with contextlib.suppress(WorkspaceError):  # it can be typed again
            remember_server(workspace, server)


def asked_server(name: str, workspace: Workspace) -> Server:
    """The server of a name that a person has typed; where it is remembered, with the variable that has its key.

    Raises:
        ServerError: it is no address.
    """
    try:
        return known_server(name, workspace)
    except ServerError:
        return parse_name(name)


def known_server(name: str, workspace: Workspace) -> Server:
    """The server of a name, if its address is remembered.

    Raises:
        ServerError: nobody here has asked it before.
    """
    servers, server = remembered_servers(workspace), parse_name(name)
    for known in reversed(servers.values()):
        if known.api_base == server.api_base:
            return dataclasses.replace(known, model=server.model)
    raise ServerError(
        _("{name} is no served model of this workspace").format(name=inert_line(shown_name(name))),
        did_you_mean(name, servers) or _("/model {name} makes it one").format(name=inert_line(name)),
    )
