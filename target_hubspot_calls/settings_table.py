"""The target's settings as Singer tells them: `--about`, and what Meltano is told of them.

Describes only: what a value may be is checked in settings.py, and a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

SETTINGS: dict[str, Any] = th.PropertiesList(
    th.Property(
        "data_dir",
        th.StringType,
        default="./hubspot-calls-data",
        title="Data directory",
        description="Directory of store, sync log and key file; created with mode 0700.",
    ),
    th.Property(
        "database_url",
        th.StringType,
        secret=True,
        title="Database URL",
        description=(
            "Operational store, such as `postgresql://...`; a SQLite file in data_dir if not set."
        ),
    ),
    th.Property(
        "sync_log",
        th.StringType,
        title="Sync log",
        description="DuckDB file of outcomes; sync_log.duckdb in data_dir if not set.",
    ),
    th.Property(
        "encryption_keys",
        th.StringType,
        secret=True,
        title="Encryption keys",
        description=(
            "Comma list, newest first, for tokens at rest; the key file secret.key in data_dir,"
            " made at first use, if not set."
        ),
    ),
    th.Property(
        "public_url",
        th.StringType,
        default="http://127.0.0.1:8000",
        title="Public URL",
        description="How the outside reaches the receiver; recording links in notes use it.",
    ),
    th.Property(
        "client_id",
        th.StringType,
        title="HubSpot client id",
        description="The OAuth app's client id.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        secret=True,
        title="HubSpot client secret",
        description="The OAuth app's client secret.",
    ),
    th.Property(
        "hubspot_api_url",
        th.StringType,
        default="https://api.hubapi.com",
        title="HubSpot API URL",
        description="Base address of HubSpot's API; https unless it is this machine.",
    ),
    th.Property(
        "service_key",
        th.StringType,
        secret=True,
        title="HubSpot service key",
        description="One static key for all records, instead of stored connections.",
    ),
    th.Property(
        "refresh_token",
        th.StringType,
        secret=True,
        title="HubSpot refresh token",
        description="OAuth refresh token for all records, with client_id and client_secret.",
    ),
    th.Property(
        "user_id",
        th.StringType(min_length=1, max_length=200),
        default="default",
        title="User id",
        description="User of records that name none.",
    ),
    th.Property(
        "workspace_id",
        th.StringType(min_length=1, max_length=200),
        default="default",
        title="Workspace id",
        description="Workspace of records that name none.",
    ),
    th.Property(
        "activity_type",
        th.StringType,
        default="note",
        allowed_values=["note", "call"],
        title="Activity type",
        description="What a call becomes in HubSpot: a `note`, or a call engagement (`call`).",
    ),
    th.Property(
        "default_region",
        th.StringType,
        default="US",
        title="Default region",
        description="Country (two letters) of numbers written without a country code.",
    ),
    th.Property(
        "ambiguous_contact",
        th.StringType,
        default="oldest",
        allowed_values=["oldest", "recent", "skip"],
        title="Ambiguous contact",
        description=(
            "Which of several contacts with the number gets the call: the one created first"
            " (`oldest`), the one created last (`recent`), or none (`skip`)."
        ),
    ),
    th.Property(
        "missing_contact",
        th.StringType,
        default="skip",
        allowed_values=["skip", "create"],
        title="Missing contact",
        description=(
            "What to do when no contact has the number: `skip` the call with a reason, or `create`"
            " the contact."
        ),
    ),
    th.Property(
        "include_transcript",
        th.BooleanType,
        default=False,
        title="Include transcript",
        description="Put the transcript in the note, cut to HubSpot's limit.",
    ),
    th.Property(
        "upload_recordings",
        th.BooleanType,
        default=True,
        title="Upload recordings",
        description="Upload each recording as a private HubSpot file and attach it.",
    ),
    th.Property(
        "recording_max_mb",
        th.IntegerType(minimum=1, maximum=2000),
        default=100,
        title="Largest recording (MB)",
        description="Larger recordings are not uploaded; in megabytes, 1 to 2000.",
    ),
    th.Property(
        "recording_hosts",
        th.ArrayType(th.StringType),
        default=[],
        title="Recording hosts",
        description=(
            "Hosts that recordings are fetched from; any public host if empty. List hosts to narrow"
            " it, or to allow a private one in tests."
        ),
    ),
    th.Property(
        "vapi_api_key",
        th.StringType,
        secret=True,
        title="VAPI private key",
        description="To ask VAPI for a fresh link where a recording's link has expired.",
    ),
    th.Property(
        "vapi_api_url",
        th.StringType,
        default="https://api.vapi.ai",
        title="VAPI API URL",
        description="Base address of VAPI's API; https unless it is this machine.",
    ),
    th.Property(
        "requests_per_10_seconds",
        th.IntegerType(minimum=1, maximum=1000),
        default=100,
        title="Requests per 10 seconds",
        description="Pace per portal, 1 to 1000; HubSpot allows OAuth apps 110.",
    ),
    th.Property(
        "searches_per_second",
        th.IntegerType(minimum=1, maximum=50),
        default=4,
        title="Searches per second",
        description="Pace of searches per portal, 1 to 50; HubSpot allows all apps together 5.",
    ),
    th.Property(
        "batch_wait_s",
        # Text too: Meltano 4.4 cannot hand over a decimal set in the environment.
        th.CustomType({"type": ["number", "string"], "minimum": 0, "maximum": 60}),
        default=1.0,
        title="Batch wait (s)",
        description="Longest a received call waits for its batch to fill, in seconds, 0 to 60.",
    ),
    additional_properties=False,
).to_dict()
