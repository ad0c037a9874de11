"""The files and folders of one portal: names, sizes and checksums, and small contents.

It knows nothing of HTTP or multipart.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import PurePosixPath

_TYPES = {
    "AUDIO": {"wav", "mp3", "m4a", "ogg", "flac", "aac"},
    "IMG": {"png", "jpg", "jpeg", "gif", "webp", "svg"},
    "DOCUMENT": {"pdf", "txt", "doc", "docx", "csv", "json"},
    "MOVIE": {"mp4", "mov", "webm"},
}


@dataclass
class StoredFile:
    """One file of the file manager; the content is kept only while it is small."""

    id: str
    name: str
    extension: str
    folder_id: str
    folder_path: str
    size: int
    md5: str
    access: str
    created_at: str
    updated_at: str
    content: bytes | None = None
    content_type: str = "application/octet-stream"
    expires_at: str | None = None

    @property
    def full_name(self) -> str:
        """Name with extension."""
        return f"{self.name}.{self.extension}" if self.extension else self.name

    @property
    def path(self) -> str:
        """Folder and full name, from the root."""
        return f"{self.folder_path.rstrip('/')}/{self.full_name}"

    @property
    def type(self) -> str:
        """The sort of file, by its extension."""
        return next((kind for kind, known in _TYPES.items() if self.extension in known), "OTHER")

    @property
    def is_private(self) -> bool:
        """Whether its address opens nothing without a signature."""
        return not self.access.startswith("PUBLIC")


class FileDrive:
    """All files and folders of a portal."""

    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        self.folders: dict[str, str] = {}
        self._file_ids = itertools.count(77_000_001)
        self._folder_ids = itertools.count(55_001)

    def folder_at(self, written_path: str) -> tuple[str, str]:
        """Id and path of a folder, made where it is missing."""
        path = "/" + written_path.strip().strip("/")
        for parent in reversed([PurePosixPath(path), *PurePosixPath(path).parents]):
            if str(parent) not in self.folders:
                self.folders[str(parent)] = str(next(self._folder_ids))
        return self.folders[path], path

    def folder_path(self, folder_id: str) -> str | None:
        """The path of a folder, or None where there is none with this id."""
        return next((path for path, found in self.folders.items() if found == folder_id), None)

    def at(self, path: str) -> StoredFile | None:
        """The file at a path."""
        return next((found for found in self.files.values() if found.path == path), None)

    def duplicate(
        self, *, by: str, full_name: str, md5: str, folder_id: str | None
    ) -> StoredFile | None:
        """The file that counts as the same one, in one folder or anywhere."""
        for found in self.files.values():
            if folder_id is not None and found.folder_id != folder_id:
                continue
            if (found.md5 == md5) if by == "content" else (found.full_name == full_name):
                return found
        return None

    def next_id(self) -> str:
        """A fresh file id."""
        return str(next(self._file_ids))

    def free_name(self, folder_id: str, name: str, extension: str) -> str:
        """The name, with a number behind it where the folder has that file already."""
        taken = {
            found.name
            for found in self.files.values()
            if found.folder_id == folder_id and found.extension == extension
        }
        if name not in taken:
            return name
        return next(f"{name}-{n}" for n in itertools.count(1) if f"{name}-{n}" not in taken)
