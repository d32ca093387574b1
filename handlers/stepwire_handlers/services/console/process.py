"""A console as a process: open, serve, and on a signal stop.

In: apps with their buses, a configuration, who may come in. Out: nothing, once it was told to stop. It keeps nothing
itself, so a kill at any moment loses nothing but sessions.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from stepwire import App, SettingsError
from stepwire.bus.local import LocalBus
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.configuration import secrets as secrets_of
from stepwire_handlers.services.console.application import Console
from stepwire_handlers.services.console.issuer import Issuer
from stepwire_handlers.services.console.measures import Measures
from stepwire_handlers.services.console.session import Sessions
from stepwire_handlers.services.console.signin import SignIn
from stepwire_handlers.services.door.access import LOCAL, Access
from stepwire_handlers.services.door.decisions import Decisions
from stepwire_handlers.services.door.limits import Limits, for_callers
from stepwire_handlers.services.door.places import Places
from stepwire_handlers.services.door.process import places_of
from stepwire_handlers.services.door.releases import watch_keys
from stepwire_handlers.services.door.reloading import reloaded
from stepwire_handlers.services.health import listen, serving
from stepwire_handlers.services.signing import key_of
from stepwire_handlers.telemetry.logs import Pipeline, forwarded

LOGINS, FIRST_LOGINS = 0.5, 30.0  #: of one address: a second for long, and at once; a proxy's address is one
GRACE = 5  #: seconds for requests under way


def console_of(values: Configuration, places: Places, access: Access | None, host: str, secret: bytes = b"") -> Console:
    """A console to these places, with its log; without a secret, sessions end with it. Raises SettingsError."""
    kind = "auto" if values.log == "off" else values.log  # who decided what is written in any case
    pipeline = Pipeline(kind, values.log_level if values.log != "off" else "warning", secrets_of(values))
    forwarded(pipeline)

    def audit(event: str, **fields: Any) -> None:
        """Whatever the level of the log."""
        pipeline.write("info", {"event": event, **fields})

    hosts = frozenset({host, *LOCAL}) if access is None else None
    sessions = Sessions(access, secret or secrets.token_bytes(32))
    return Console(
        places, sessions, Decisions(places, key_of(values), audit), Limits(LOGINS, FIRST_LOGINS, time.monotonic),
        for_callers(access, time.monotonic), Measures(), hosts, signin_of(values, access, sessions, places),
    )  # fmt: skip


def signin_of(values: Configuration, access: Access | None, sessions: Sessions, places: Places) -> SignIn | None:
    """Logins at the issuer, if the access file has [oidc.login]. Raises SettingsError."""
    secret = values.console_oidc_secret
    if access is None or access.oidc is None or access.oidc.login is None:
        if secret is not None:
            raise SettingsError("console_oidc_secret is set, but no access file with [oidc.login] says what it is for")
        return None
    issuer = Issuer(access.oidc, access.oidc.login, secret.get_secret_value() if secret else "")
    return SignIn(issuer, sessions, places)


async def serve(
    opened: Sequence[tuple[App, LocalBus]], values: Configuration, access: Access | None, host: str, port: int,
    secret: bytes, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve until a signal. Raises SettingsError, BusUnavailable."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen(host, port, "--port (0: any free one) or --host"))
        places = await places_of(stack, opened)
        stack.callback(asyncio.create_task(watch_keys(places)).cancel)
        console = console_of(values, places, access, host, secret)
        renewed = (console.sessions.renew, console.actions.renew)  # how people log in at the issuer stays as at start
        await stack.enter_async_context(reloaded(values.door_access, access, *renewed))
        if values.http_port is not None:
            inner: socket.socket = stack.enter_context(listen(values.http_host, values.http_port))
            await stack.enter_async_context(serving(console.inner(), inner))
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        async with serving(console.application(), listening, GRACE):
            say(f"http://{host}:{listening.getsockname()[1]}")
            await told.wait()
