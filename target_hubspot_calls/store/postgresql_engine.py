"""PostgreSQL: a bounded pool of connections that notice a cut network within seconds.

Must not know what the tables mean. Times that nobody needs to wait for are bounded here, once.
"""

from __future__ import annotations

from sqlalchemy import URL, Engine, create_engine

from target_hubspot_calls.errors import StoreUnavailable

# A process has at most so many connections at once: the first few stay open, the others are
# closed again after use. Whoever finds none free waits for one.
KEPT_CONNECTIONS = 4
MORE_CONNECTIONS = 8
WAIT_FOR_CONNECTION_S = 30.0
CONNECT_S = 5
# A silent peer is asked after 5 s and believed gone after three more questions; what was sent and
# not acknowledged is waited for as long. Source: libpq and server settings of the same names.
KEEPALIVE_IDLE_S = 5
KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_COUNT = 3
UNACKNOWLEDGED_MS = 8_000
STATEMENT_S = 60
# A process that was stopped or cut off within a transaction holds its rows no longer than this.
IDLE_IN_TRANSACTION_S = 10


def postgresql_engine(
    address: URL,
    *,
    lock_wait_s: float,
    statement_s: float = STATEMENT_S,
    kept: int = KEPT_CONNECTIONS,
    more: int = MORE_CONNECTIONS,
) -> Engine:
    """Lends connections to the server, each checked before use. Raises StoreUnavailable.

    A statement waits `lock_wait_s` seconds for what another has locked. What the address itself
    says of these settings counts more.
    """
    keepalives = {
        "keepalives_idle": KEEPALIVE_IDLE_S,
        "keepalives_interval": KEEPALIVE_INTERVAL_S,
        "keepalives_count": KEEPALIVE_COUNT,
    }
    settings = {
        "lock_timeout": f"{lock_wait_s:g}s",
        "statement_timeout": f"{statement_s:g}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
        # The same from the server's side: a worker that has vanished lets go of its rows.
        "tcp_keepalives_idle": KEEPALIVE_IDLE_S,
        "tcp_keepalives_interval": KEEPALIVE_INTERVAL_S,
        "tcp_keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
    }
    ours: dict[str, object] = {
        "connect_timeout": CONNECT_S,
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
        **keepalives,
    }
    wanted = {name: value for name, value in ours.items() if name not in address.query}
    # Of an option that is given twice the later one counts.
    options = [f"-c {name}={value}" for name, value in settings.items()]
    said = address.query.get("options", "")
    wanted["options"] = " ".join([*options, said if isinstance(said, str) else " ".join(said)])
    try:
        return create_engine(
            address,
            hide_parameters=True,
            # Row locks are reasoned about for this level, whatever the server's default is.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_use_lifo=True,
            pool_size=kept,
            max_overflow=more,
            pool_timeout=WAIT_FOR_CONNECTION_S,
            connect_args=wanted,
        )
    except ModuleNotFoundError as err:
        raise StoreUnavailable(
            "The database URL names PostgreSQL and its driver is not installed:"
            " pip install 'psycopg[binary]'."
        ) from err
