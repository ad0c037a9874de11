"""The `.env` file: its variables, or every fault in it with its line.

Knows how such a file is written; what a variable means is the settings' business.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

# Other programs may keep variables of these services in the same file, so only what is nearly one
# of ours is taken for a slip of the pen.
_SERVICES = ("HUBSPOT_", "VAPI_")
_NEARLY = 0.85


@dataclass(frozen=True)
class EnvFile:
    """What a file says, and what is wrong with it; no sentence repeats a value.

    `strangers` are names of these services that are no settings of ours, perhaps by mistake.
    """

    variables: dict[str, str]
    faults: list[str]
    strangers: list[str]


def read_env_file(path: Path, *, prefix: str, known: Collection[str]) -> EnvFile:
    """The variables of the file at `path`, none where there is no file."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return EnvFile({}, [], [])
    except IsADirectoryError:
        said = f"{path} is a directory; settings are read from a file of that name"
        return EnvFile({}, [said], [])
    except UnicodeDecodeError:
        return EnvFile({}, [f"{path} is not UTF-8 text"], [])
    except OSError as err:
        said = f"{path} cannot be read ({err.strerror}); let this user read it, or move it away"
        return EnvFile({}, [said], [])
    faults: list[str] = []
    strangers: list[str] = []
    usable: list[str] = []
    for binding in parse_stream(io.StringIO(text)):
        if not binding.error:
            usable.append(binding.original.string)
        line = binding.original.line + _blank_lines_before(binding.original.string)
        fault = None
        if binding.error:
            fault = "cannot be read; write NAME=value, and # before a comment"
        elif binding.key and binding.value is None and binding.key in known:
            fault = f"gives {binding.key} no value; write {binding.key}=value"
        elif binding.key and not binding.key.startswith(prefix):
            fault = _slip(binding.key, prefix, known)
        if fault is not None:
            faults.append(f"{path} line {line} {fault}")
        elif binding.key and _is_stranger(binding.key, known):
            strangers.append(
                f"{path} line {line} sets {binding.key}, which is no setting of hubspot-calls and"
                " is not read; leave it if another program reads it"
            )
    values = dotenv_values(stream=io.StringIO("".join(usable)))
    return EnvFile({k: v for k, v in values.items() if v is not None}, faults, strangers)


def _slip(name: str, prefix: str, known: Collection[str]) -> str | None:
    if not _is_stranger(name, known):
        return None
    ours = prefix + name.partition("_")[2]
    near = [ours] if ours in known else difflib.get_close_matches(name, known, 1, _NEARLY)
    return f"sets {name}, which is no setting; did you mean {near[0]}?" if near else None


def _is_stranger(name: str, known: Collection[str]) -> bool:
    return name.startswith(_SERVICES) and name not in known


def _blank_lines_before(text: str) -> int:
    """The parser counts the blank lines above a line as a part of it."""
    return text[: len(text) - len(text.lstrip())].count("\n")
