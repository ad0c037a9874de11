"""`python -m hubspot_simulator`: the simulator from a command line."""

from __future__ import annotations

from pathlib import Path

import click

from .command import CannotStart, run
from .simulator import DEFAULT_PORTAL


@click.command(short_help="A pretend HubSpot portal over real HTTP.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--portal",
    "portal_id",
    type=int,
    default=DEFAULT_PORTAL,
    show_default=True,
    help="The portal's id.",
)
@click.option(
    "--contacts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with a list of contacts.",
)
@click.option("--service-key", help="The portal's static key; made up if missing.")
@click.option("--client-id", help="An OAuth app; takes --client-secret and --redirect-uri too.")
@click.option("--client-secret", help="The app's secret.")
@click.option("--redirect-uri", help="Where people who granted access are sent back to.")
@click.option(
    "--index-lag",
    "index_lag_s",
    type=click.FloatRange(0),
    default=0.0,
    help="Seconds until search finds a new record.",
)
@click.option(
    "--token-lifetime",
    "access_token_lifetime_s",
    type=click.FloatRange(0),
    default=1800,
    help="Seconds until an access token ends.",
)
@click.option("--rotate-refresh-tokens", is_flag=True, help="Each refresh gives a new one.")
@click.option(
    "--no-rate-limits", "rate_limits", flag_value=False, default=True, help="Never answer 429."
)
@click.option("--seed", type=int, default=0, help="The same seed makes chance fall alike.")
@click.option("--print-json", is_flag=True, help="Print the address line as JSON.")
@click.option(
    "--print-env", is_flag=True, help="Print the settings that lead here, ready for a .env file."
)
def main(
    port: int,
    host: str,
    portal_id: int,
    contacts: Path | None,
    service_key: str | None,
    client_id: str | None,
    client_secret: str | None,
    redirect_uri: str | None,
    index_lag_s: float,
    access_token_lifetime_s: float,
    rotate_refresh_tokens: bool,
    rate_limits: bool,
    seed: int,
    print_json: bool,
    print_env: bool,
) -> None:
    """A pretend HubSpot portal over real HTTP, to try things without an account.

    It runs until Ctrl-C and forgets everything then. /_simulator/ at its address shows what it
    holds and lets tests make it fail.

    \b
    Examples:
      hubspot-calls simulator --port 8181 --print-env
      hubspot-calls simulator --contacts contacts.json
      hubspot-calls simulator --index-lag 10

    See also: demo (the portal, and calls that reach it).
    """
    app = {
        "--client-id": client_id,
        "--client-secret": client_secret,
        "--redirect-uri": redirect_uri,
    }
    missing = [name for name, value in app.items() if not value]
    if missing and len(missing) < len(app):
        raise click.UsageError(
            f"an OAuth app needs all of {', '.join(app)}; missing: {', '.join(missing)}"
        )
    if print_json and print_env:
        raise click.UsageError("--print-json and --print-env exclude each other")
    try:
        run(
            port=port,
            host=host,
            portal_id=portal_id,
            contacts=contacts,
            service_key=service_key,
            client_id=client_id,
            client_secret=client_secret,
            redirect_uri=redirect_uri,
            rate_limits=rate_limits,
            index_lag_s=index_lag_s,
            access_token_lifetime_s=access_token_lifetime_s,
            rotate_refresh_tokens=rotate_refresh_tokens,
            seed=seed,
            print_json=print_json,
            print_env=print_env,
        )
    except (CannotStart, OSError, ValueError) as err:
        raise click.ClickException(str(err)) from err


if __name__ == "__main__":
    main()
