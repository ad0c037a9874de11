"""A history's filter as the parameters of the statements of `queries.sql`.

Pure: knows the names that the statements give them, no connection and no table.
"""

from __future__ import annotations

import re
from typing import Any

from target_hubspot_calls.sync_log.filters import HistoryFilter

# An index of three letters at a time finds nothing shorter.
_LEAST_SEARCHED = 3
_WITH_MEANING = re.compile(r"([\\%_])")


def to_parameters(wanted: HistoryFilter, *, has_text_index: bool) -> dict[str, Any]:
    """The parameters of `matching`. Raises ValueError for a time without a time zone."""
    given = wanted.parameters()
    numbers, number_end = given.pop("numbers"), given.pop("number_end")
    query, digits = given["query"], given["digits"]
    capitals, small_letters = _foreign_letters(given["lower_case"] or "")
    is_indexed = has_text_index and query is not None and len(digits or query) >= _LEAST_SEARCHED
    return given | {
        # A number's end is the beginning of the number read backwards, which an index can find.
        "written_backwards": [number[::-1] for number in numbers] if numbers is not None else None,
        "end_backwards": f"{number_end[::-1]}%" if number_end is not None else None,
        "pattern": _to_pattern(query) if is_indexed else None,
        "digits_pattern": f"%{digits}%" if is_indexed and digits is not None else None,
        "capitals": capitals,
        "small_letters": small_letters,
    }


def _to_pattern(query: str) -> str:
    """Finds at least what the search finds: letters beyond ASCII may be any, large or small."""
    lower = _WITH_MEANING.sub(r"\\\1", query.lower())
    return f"%{''.join(letter if letter.isascii() else '_' for letter in lower)}%"


def _foreign_letters(lower_case: str) -> tuple[str, str]:
    """Which capitals to read as which small letters: the tables' lower() knows those of ASCII.

    Only those that the search itself has, so that no row is changed for nothing.
    """
    pairs = {
        letter.upper(): letter
        for letter in lower_case
        if not letter.isascii() and len(letter.upper()) == 1 and letter.upper() != letter
    }
    return "".join(pairs), "".join(pairs.values())
