"""Where a browser is sent back to: paths of our own address and nothing else.

Pure: looks at the text alone.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

# Printable, and none of what some browser reads as a slash.
_PATH = re.compile(r"/(?:[!-\[\]-~]*)\Z")
_LONGEST = 500


def own_path(written: str) -> str | None:
    """The path if it leads nowhere but to our own address, None otherwise."""
    if len(written) > _LONGEST or not _PATH.match(written) or written.startswith("//"):
        return None
    parts = urlsplit(written)
    return written if not parts.scheme and not parts.netloc else None


def with_query(address: str, **said: str) -> str:
    """The address with these parameters behind those it has; a fragment is left out."""
    bare = address.partition("#")[0]
    return f"{bare}{'&' if '?' in bare else '?'}{urlencode(said)}"
