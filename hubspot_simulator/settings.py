"""The switches of a simulated HubSpot, each with what a real portal does as its default.

It knows nothing else of the simulator.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints


@dataclass
class SimulatorSettings:
    """How the simulated HubSpot behaves; every field may change while it runs."""

    rate_limits: bool = True
    app_requests_per_10_s: int = 110
    service_key_requests_per_10_s: int = 100
    association_batches_per_10_s: int = 100
    searches_per_s: int = 5
    requests_per_day: int = 250_000
    index_lag_s: float = 0.0
    access_token_lifetime_s: float = 1800.0
    rotate_refresh_tokens: bool = False
    unique_properties_on_activities: bool = True
    custom_properties_on_activities: bool = True
    echo_trace_ids: bool = True
    association_page_size: int = 500
    association_ids_as_numbers: bool = False
    default_region: str = "US"
    # One report says that some portals hide what was written and keep only what was calculated.
    hide_written_phones: bool = False
    file_duplicates_by: Literal["name", "content"] = "name"
    max_file_bytes: int = 300 * 1024 * 1024
    file_bytes_kept: int = 1024 * 1024
    auto_approve: bool = False

    def change(self, changes: dict[str, Any]) -> None:
        """Sets the named fields. Raises ValueError where a name or a value is wrong."""
        known = {field.name: field for field in dataclasses.fields(self)}
        types = get_type_hints(SimulatorSettings)
        for name, value in changes.items():
            if name not in known:
                msg = f"there is no setting {name!r}"
                raise ValueError(msg)
            if not _fits(value, types[name]):
                msg = f"setting {name!r} does not take {value!r}"
                raise ValueError(msg)
        for name, value in changes.items():
            setattr(self, name, value)


def _fits(value: Any, kind: Any) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind is int:
        return isinstance(value, int) and value >= 0
    if kind is float:
        return isinstance(value, int | float) and value >= 0
    if kind is str:
        return isinstance(value, str)
    return value in kind.__args__
