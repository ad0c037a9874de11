"""Operations on files: upload, read, find, sign, delete.

The rules for names and duplicates are here; file_drive.py only keeps.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import msgspec

from .answers import Answer, HubSpotError, json_answer, no_content, validation_error
from .bodies import UploadOptions
from .file_drive import FileDrive, StoredFile
from .requests import Request
from .times import iso, to_epoch_ms
from .uploads import Upload

_ACCESS = {"PUBLIC_INDEXABLE", "PUBLIC_NOT_INDEXABLE", "PRIVATE", "SENSITIVE"}
_STRATEGIES = {"NONE", "REJECT", "RETURN_EXISTING"}
_SCOPES = {"ENTIRE_PORTAL", "EXACT_FOLDER"}
_PARTS = {"folderPath", "folderId", "options", "fileName", "charsetHunch"}
_TTL = re.compile(r"^P(?=\w)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?$")
_DEFAULT_EXPIRY_S = 300
_MAX_EXPIRY_S = 2_419_200


@dataclass(frozen=True)
class _Place:
    folder_id: str
    folder_path: str
    name: str
    extension: str

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.extension}" if self.extension else self.name


def upload(request: Request, sent: Upload) -> Answer:
    """201 with the new file, or with the one that was there already where that was wished."""
    options = _options(sent)
    drive = request.portal.files
    place = _place(sent, drive)
    existing = _duplicate(request, options, place, sent)
    if existing is not None:
        return _created(request, existing)
    if options.overwrite:
        old = drive.at(f"{place.folder_path.rstrip('/')}/{place.full_name}")
        if old is not None:
            del drive.files[old.id]
    at = request.portal.now()
    kept = StoredFile(
        id=drive.next_id(),
        name=drive.free_name(place.folder_id, place.name, place.extension),
        extension=place.extension,
        folder_id=place.folder_id,
        folder_path=place.folder_path,
        size=sent.size,
        md5=sent.md5,
        access=options.access,
        created_at=iso(at),
        updated_at=iso(at),
        content=sent.content,
        content_type=sent.content_type,
        expires_at=_expiry(options, at),
    )
    drive.files[kept.id] = kept
    return _created(request, kept)


def read(request: Request) -> Answer:
    """200 with one file, or 404."""
    return json_answer(200, shown(_addressed(request), request.base_url, request.portal.id))


def archive(request: Request) -> Answer:
    """204, or 404."""
    del request.portal.files.files[_addressed(request).id]
    return no_content()


def find(request: Request) -> Answer:
    """200 with the files that have all the given traits."""
    drive = request.portal.files
    names = request.listed("name")
    tests: dict[str, Callable[[StoredFile], str]] = {
        "ids": lambda found: found.id,
        "path": lambda found: found.path,
        "parentFolderIds": lambda found: found.folder_id,
        "fileMd5": lambda found: found.md5,
        "extension": lambda found: found.extension,
        "type": lambda found: found.type,
    }
    found = [
        one
        for one in drive.files.values()
        if (not names or any(name in {one.name, one.full_name} for name in names))
        and all(
            test(one) in request.listed(name)
            for name, test in tests.items()
            if name in request.query
        )
    ]
    limit = request.whole_number("limit", 20, 100)
    start = int(request.first("after") or 0)
    payload: dict[str, Any] = {
        "results": [
            shown(one, request.base_url, request.portal.id) for one in found[start : start + limit]
        ]
    }
    if start + limit < len(found):
        payload["paging"] = {"next": {"after": str(start + limit)}}
    return json_answer(200, payload)


def stat(request: Request) -> Answer:
    """200 with the file at a path, or 404."""
    found = request.portal.files.at("/" + request.params["path"].strip("/"))
    if found is None:
        raise _absent()
    return json_answer(200, {"file": shown(found, request.base_url, request.portal.id)})


def sign(request: Request) -> Answer:
    """200 with an address that opens the file for a while."""
    found = _addressed(request)
    seconds = request.whole_number("expirationSeconds", _DEFAULT_EXPIRY_S, _MAX_EXPIRY_S)
    expires_at = request.portal.now() + seconds
    signature = secrets.token_urlsafe(18)
    request.state.signatures[signature] = (request.portal.id, found.id, expires_at)
    return json_answer(
        200,
        {
            "url": f"{request.base_url}/signed-files/{signature}/{quote(found.full_name)}",
            "name": found.name,
            "extension": found.extension,
            "size": found.size,
            "type": found.type,
            "expiresAt": iso(expires_at),
        },
    )


def shown(found: StoredFile, base_url: str, portal_id: int) -> dict[str, Any]:
    """A file as JSON."""
    address = f"{base_url}/hubfs/{portal_id}{quote(found.path)}"
    return {
        "id": found.id,
        "name": found.name,
        "path": found.path,
        "extension": found.extension,
        "type": found.type,
        "size": found.size,
        "access": found.access,
        "url": address,
        "defaultHostingUrl": address,
        "fileMd5": found.md5,
        "parentFolderId": found.folder_id,
        "isUsableInContent": not found.is_private,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "archived": False,
    } | ({"expiresAt": to_epoch_ms(found.expires_at)} if found.expires_at else {})


def _created(request: Request, found: StoredFile) -> Answer:
    payload = shown(found, request.base_url, request.portal.id)
    return json_answer(201, payload, {"Location": f"{request.base_url}{request.path}/{found.id}"})


def _options(sent: Upload) -> UploadOptions:
    unknown = sorted(set(sent.fields) - _PARTS)
    if unknown:
        raise validation_error(f"Unknown parts in the request: {', '.join(unknown)}")
    if sent.file_count != 1:
        raise validation_error(f"Exactly one file is required, but {sent.file_count} were sent")
    written = sent.fields.get("options")
    if written is None:
        raise validation_error("The options part is required")
    try:
        options = msgspec.json.decode(written, type=UploadOptions)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise validation_error(f"Unable to parse options: {err}") from err
    for value, allowed, name in (
        (options.access, _ACCESS, "access"),
        (options.duplicate_validation_strategy, _STRATEGIES, "duplicateValidationStrategy"),
        (options.duplicate_validation_scope, _SCOPES, "duplicateValidationScope"),
    ):
        if value not in allowed:
            raise validation_error(f"{value} is not valid for {name}: {sorted(allowed)}")
    return options


def _place(sent: Upload, drive: FileDrive) -> _Place:
    by_path, by_id = sent.fields.get("folderPath"), sent.fields.get("folderId")
    if (by_path is None) == (by_id is None):
        raise validation_error("Exactly one of folderPath and folderId must be given")
    written = sent.fields.get("fileName") or sent.file_name
    if not written:
        raise validation_error("A file name is required")
    if by_id is not None:
        path = drive.folder_path(by_id)
        if path is None:
            raise HubSpotError(404, f"Folder {by_id} does not exist", "OBJECT_NOT_FOUND")
        folder_id = by_id
    else:
        folder_id, path = drive.folder_at(str(by_path))
    file_name = PurePosixPath(written.replace("/", "-"))
    extension = file_name.suffix or PurePosixPath(sent.file_name or "").suffix
    stem = file_name.stem if file_name.suffix else file_name.name
    return _Place(folder_id, path, stem, extension.removeprefix(".").lower())


def _duplicate(
    request: Request, options: UploadOptions, place: _Place, sent: Upload
) -> StoredFile | None:
    if options.duplicate_validation_strategy == "NONE":
        return None
    found = request.portal.files.duplicate(
        by=request.state.settings.file_duplicates_by,
        full_name=place.full_name,
        md5=sent.md5,
        folder_id=(
            place.folder_id if options.duplicate_validation_scope == "EXACT_FOLDER" else None
        ),
    )
    if found is not None and options.duplicate_validation_strategy == "REJECT":
        raise HubSpotError(
            409, f"A duplicate file exists: {found.id}", "CONFLICT", sub_category="FILE_EXISTS"
        )
    return found


def _expiry(options: UploadOptions, now: float) -> str | None:
    if options.expires_at is not None:
        at = to_epoch_ms(options.expires_at)
        if at is None:
            raise validation_error("expiresAt is not a point in time")
        return iso(at / 1000)
    if options.ttl is None:
        return None
    match = _TTL.match(options.ttl)
    if match is None:
        raise validation_error(f"ttl is not an ISO-8601 period: {options.ttl}")
    years, months, weeks, days = (int(part or 0) for part in match.groups())
    total = years * 365 + months * 30 + weeks * 7 + days
    if not 1 <= total <= 365:
        raise validation_error("ttl must be between one day and one year")
    return iso(now + total * 86_400)


def _addressed(request: Request) -> StoredFile:
    found = request.portal.files.files.get(request.params["id"])
    if found is None:
        raise _absent()
    return found


def _absent() -> HubSpotError:
    return HubSpotError(404, "No file was found with the given id", "OBJECT_NOT_FOUND")
