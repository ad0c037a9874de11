"""What pages load beside themselves: style, script, icon, at addresses that name their content.

Reads the few files of the package once; serves nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.answers import Refusal

PREFIX = "/static/"
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True)
class Asset:
    """One file; `version` changes with its content."""

    content: bytes
    media_type: str
    version: str


class Assets:
    """The files under receiver/static."""

    def __init__(self) -> None:
        self._assets = {
            entry.name: _asset(entry.name, entry.read_bytes())
            for entry in files("receiver").joinpath("static").iterdir()
            if entry.name.rpartition(".")[2] in _MEDIA_TYPES
        }

    def url_of(self, name: str) -> str:
        """The file's address, another one whenever its content is another. Raises KeyError."""
        return f"{PREFIX}{name}?v={self._assets[name].version}"

    def get(self, name: str) -> Asset | None:
        """The file, None if there is none of this name."""
        return self._assets.get(name)


def asset_routes(assets: Assets) -> list[Route]:
    """The one route; browsers keep a file for good where the address names its content."""

    async def asset(request: Request) -> Response:
        found = assets.get(request.path_params["name"])
        if found is None:
            raise Refusal(404, "not_found", "There is nothing at this address.")
        is_named = request.query_params.get("v") == found.version
        headers = {
            "Cache-Control": _FOR_EVER if is_named else _ASK_AGAIN,
            "ETag": f'"{found.version}"',
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    return [Route(PREFIX + "{name}", asset, methods=["GET"], include_in_schema=False)]


def _asset(name: str, content: bytes) -> Asset:
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Asset(content, media_type, hashlib.sha256(content).hexdigest()[:16])
