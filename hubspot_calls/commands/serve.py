"""`hubspot-calls serve`: the receiver and, beside it, the live sync.

Knows how to start and end both together; what they do lives in their rooms.
"""

from __future__ import annotations

import functools
import logging
import signal
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import click

from call_stream.stream import Backlog, open_event_loop_writer, open_reader
from hubspot_calls.commands.options import warn_of_strangers, with_settings
from hubspot_calls.commands.webhook_views import warnings_of
from hubspot_calls.commands.webhooks import WEBHOOK_PATH
from hubspot_calls.front import behind_proxies
from hubspot_calls.garbage import calm_collector, keep_freed_memory
from hubspot_calls.live_sync import LiveSync
from hubspot_calls.output import say
from hubspot_calls.receiver_app import build_receiver
from hubspot_calls.rooms import Store, open_store
from hubspot_calls.settings import READER_NAME, Settings
from hubspot_calls.signals import on_signals
from receiver.connections import ConnectionBounds, TurnedAway
from receiver.server import CannotListen, build_server
from target_hubspot_calls.addresses import is_loopback

logger = logging.getLogger("hubspot-calls")


@click.command(short_help="Receive calls and send them to HubSpot live.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free one and says which.",
)
@click.option("--no-sync", is_flag=True, help="Only receive; calls wait until they are synced.")
@with_settings
def serve(settings: Settings, /, host: str, port: int, no_sync: bool) -> int:
    """Receive VAPI's reports and send the calls to HubSpot as they arrive.

    \b
    Examples:
      hubspot-calls serve
      hubspot-calls serve --host 0.0.0.0 --port 8080
      hubspot-calls serve --no-sync        (and `hubspot-calls sync` now and then)

    See also: webhooks create (VAPI's way in), keys create (the pages'), doctor, work.
    """
    warn_of_strangers()
    with open_store(settings) as store:
        stream = open_event_loop_writer(
            settings.stream_url, retention_days=settings.stream_retention_days
        )
        turned_away: Counter[TurnedAway] = Counter()
        try:
            receiver = build_receiver(
                settings,
                store,
                stream,
                load_backlog=_backlog_of(settings),
                turned_away=turned_away,
            )
            server = build_server(
                behind_proxies(receiver, settings),
                host,
                port,
                on_listening=functools.partial(_announce, settings, store, live=not no_sync),
                bounds=ConnectionBounds(
                    max_connections=settings.max_connections,
                    max_per_address=settings.max_connections_per_address,
                ),
                turned_away=turned_away,
                at_once=receiver.at_once,
            )

            live = LiveSync(settings)

            def end() -> None:
                # Both at once, so that all of it takes less than 10 s.
                server.should_exit = True
                live.request_stop()

            with on_signals(end) as seen:
                if not no_sync:
                    live.start()
                try:
                    keep_freed_memory()
                    with calm_collector():
                        server.run()
                finally:
                    live.stop()
        except CannotListen as err:
            sentence = str(err).rstrip(".")
            raise click.ClickException(f"{sentence}; choose another with --host, --port") from err
        finally:
            stream.close()
    logger.info("stopped")
    return 128 + signal.SIGINT if signal.SIGINT in seen else 0


def _backlog_of(settings: Settings) -> Callable[[], Backlog]:
    """Tells how far the sync of this data directory has read the call stream."""
    return functools.partial(open_reader(settings.stream_url).load_backlog, READER_NAME)


def _announce(settings: Settings, store: Store, url: str, *, live: bool) -> None:
    """Say where it listens, where the data lies, and what is still to be done."""
    lines = [
        f"Receiver   {url}{WEBHOOK_PATH}ID, from outside {settings.public_url}{WEBHOOK_PATH}ID",
        f"Pages      {settings.public_url}/, for whoever has a key: hubspot-calls keys create",
        f"Data       {settings.data_dir}",
        f"Live sync  {'on' if live else 'off; calls are stored and wait for hubspot-calls sync'}",
    ]
    in_use = [webhook for webhook in store.webhooks.list() if webhook.disabled_at is None]
    for webhook in in_use:
        for warning in warnings_of(webhook):
            logger.warning("%s", warning)
    if not in_use:
        lines.append("Next       make a webhook: hubspot-calls webhooks create")
    if settings.service_key is None and not store.has_connections:
        where = " on the pages, or" if settings.client_id is not None else ""
        by_key = "hubspot-calls connections add --service-key-stdin < key.txt"
        lines.append(f"Next       connect HubSpot{where}: {by_key}")
    if is_loopback(urlsplit(settings.public_url).hostname) and settings.public_url != url:
        lines.append(
            f"Next       HUBSPOT_CALLS_PUBLIC_URL={url}, or the address of your proxy: webhooks,"
            f" pages and connecting HubSpot now use {settings.public_url}"
        )
    for line in lines:
        if settings.log_format == "json":
            logger.info("%s", " ".join(line.split()))
        else:
            say(line)
