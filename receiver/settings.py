"""What the receiver can be told, in one frozen object.

Reads no environment and no file: hubspot_calls does that once, at the door.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from call_stream.stream import MAX_PAYLOAD_BYTES


@dataclass(frozen=True)
class ReceiverSettings:
    """Bounds of the receiver. Raises ValueError with every fault when one cannot work."""

    max_body_bytes: int = 10_000_000
    """Largest webhook body; VAPI's are 30 KB to 2 MB."""
    body_timeout_s: float = 15.0
    """Longest a sender may take over its body; VAPI itself gives up after 20 s."""
    max_in_flight_bytes: int = 64_000_000
    """Bodies in memory at once, over all connections; a sender beyond is asked to come back."""
    retry_after_s: int = 10
    """What a sender is asked to wait when nothing can be stored."""
    webhook_cache_s: float = 2.0
    """Longest a disabled webhook or an old secret still works."""
    webhook_cache_size: int = 1024
    """Webhook ids remembered, known or not."""
    public_url: str = "http://127.0.0.1:8000"
    """How senders reach the receiver; a signature may cover the whole address."""
    allowed_origins: tuple[str, ...] = ()
    """Other sites whose pages may call the API, each as a browser names it: scheme, host, port."""
    data_dir: Path | None = None
    """Where calls are stored, if it is a directory; /readyz then says when its disk runs low."""
    low_disk_bytes: int = 500_000_000
    """Free space below which it does; some 10,000 calls still fit."""

    @property
    def https(self) -> bool:
        """Whether people reach the receiver by https, whatever a request says of itself."""
        return self.public_url.startswith("https:")

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.max_body_bytes <= MAX_PAYLOAD_BYTES:
            faults.append(f"max_body_bytes must be 1 to {MAX_PAYLOAD_BYTES}")
        if self.max_in_flight_bytes < self.max_body_bytes:
            faults.append("max_in_flight_bytes must be max_body_bytes or more")
        if self.body_timeout_s <= 0:
            faults.append("body_timeout_s must be more than 0")
        if self.retry_after_s < 1:
            faults.append("retry_after_s must be 1 or more")
        if not 0 <= self.webhook_cache_s <= 2:
            faults.append("webhook_cache_s must be 0 to 2")
        if self.webhook_cache_size < 1:
            faults.append("webhook_cache_size must be 1 or more")
        if faults:
            raise ValueError("; ".join(faults))
