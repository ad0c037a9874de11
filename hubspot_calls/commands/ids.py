"""Ids as people copy them: whole, or as much of the beginning as no other one shares.

Pure; it must not know what the ids are of.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

_SHORTEST = 4
_MOST_NAMED = 3


def whole_id(written: str, ids: Sequence[str]) -> str:
    """The id that is meant; what begins none is given back as it is.

    Raises UsageError where it may be any of several.
    """
    if written in ids or len(written) < _SHORTEST:
        return written
    found = sorted(each for each in ids if each.startswith(written))
    if len(found) > 1:
        named = ", ".join(found[:_MOST_NAMED]) + (", ..." if len(found) > _MOST_NAMED else "")
        raise click.UsageError(f"{written} may be any of {named}; write more of it")
    return found[0] if found else written
