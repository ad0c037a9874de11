"""`hubspot-calls work`: delivers calls, and receives none.

Knows how to start and end the live sync and, where asked for, its health page; what they do lives
in their rooms.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence

import click

from hubspot_calls.commands.options import warn_of_strangers, with_settings
from hubspot_calls.live_sync import LiveSync
from hubspot_calls.output import say
from hubspot_calls.rooms import Store, open_store
from hubspot_calls.settings import Settings
from hubspot_calls.shared_stream import is_shared, name_of
from hubspot_calls.signals import on_signals

logger = logging.getLogger("hubspot-calls")


@click.command(short_help="Send calls to HubSpot live, and receive none.")
@click.option(
    "--health-port",
    type=click.IntRange(0, 65_535),
    help="Answer /healthz, /readyz and /metrics on this port; 0 takes a free one.",
)
@click.option(
    "--health-host", default="127.0.0.1", show_default=True, help="Address of --health-port."
)
@with_settings
def work(settings: Settings, /, health_port: int | None, health_host: str) -> int:
    """Send calls to HubSpot as they arrive, as `serve` does, without receiving any.

    With HUBSPOT_CALLS_STREAM_URL=nats://... and HUBSPOT_CALLS_DATABASE_URL=postgresql://... any
    number of these run on any number of hosts, each with a data directory of its own: one of them
    at a time reads the stream, and all deliver. It ends within 10 s of SIGTERM, and others go on
    with what it leaves.

    \b
    Examples:
      hubspot-calls work
      hubspot-calls work --health-port 9100

    See also: serve (receives too), doctor (who delivers and who reads), sync.
    """
    warn_of_strangers()
    live = LiveSync(settings, owner="hubspot-calls work")
    # The live sync opens the store by itself, as often as it has to; here wrong settings end us.
    with open_store(settings) as store:
        _announce(settings, store)
        if health_port is None:
            store.engine.dispose()
            signals = _wait_beside(live)
        else:
            signals = _answer_beside(settings, store, live, health_host, health_port)
    logger.info("stopped")
    return 128 + signal.SIGINT if signal.SIGINT in signals else 0


def _wait_beside(live: LiveSync) -> Sequence[int]:
    """The signals that ended it."""
    ended = threading.Event()
    with on_signals(ended.set) as seen:
        live.start()
        try:
            ended.wait()
        finally:
            live.stop()
    return seen


def _answer_beside(
    settings: Settings, store: Store, live: LiveSync, host: str, port: int
) -> Sequence[int]:
    """The signals that ended it."""
    # Imported when asked for: a worker without it needs no web server.
    from hubspot_calls.worker_app import build_worker_app
    from receiver.server import CannotListen, build_server

    app = build_worker_app(settings, store, is_running=lambda: live.is_running)
    try:
        server = build_server(app, host, port, on_listening=_say_where)
    except CannotListen as err:
        sentence = str(err).replace("The receiver", "The health page", 1).rstrip(".")
        raise click.ClickException(
            f"{sentence}; choose another with --health-host, --health-port"
        ) from err

    def end() -> None:
        server.should_exit = True
        live.request_stop()

    with on_signals(end) as seen:
        live.start()
        try:
            server.run()
        finally:
            live.stop()
    return seen


def _say_where(url: str) -> None:
    say(f"Health     {url}/readyz")


def _announce(settings: Settings, store: Store) -> None:
    """Say what is delivered from where, and whose stream it is."""
    where = store.engine.url.render_as_string(hide_password=True)
    stream = (
        f"{name_of(settings.stream_url)}, read by one process of all hosts"
        if is_shared(settings.stream_url)
        else f"{settings.stream_url}, of this host"
    )
    for line in (
        f"Worker     delivers what is due in {where}",
        f"Stream     {stream}",
        f"Data       {settings.data_dir}",
    ):
        if settings.log_format == "json":
            logger.info("%s", " ".join(line.split()))
        else:
            say(line)
