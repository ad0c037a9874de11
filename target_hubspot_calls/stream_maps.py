"""Makes the SDK's stream maps bear what other people's records hold: empty cells, missing fields.

Knows the SDK's maps and nothing of calls. Never prints a value of a record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import simpleeval  # type: ignore[import-untyped]
from singer_sdk.exceptions import MapExpressionError
from singer_sdk.mapper import CustomStreamMap, StreamMap

logger = logging.getLogger("target-hubspot-calls")


def forgive_odd_values(stream_maps: Iterable[StreamMap]) -> None:
    """Lets a field whose expression cannot be worked out for a record count as missing there.

    The SDK (0.54) ends the whole run at `float(seconds)` over an empty cell, and prints the cell.
    An expression that names a field which no record can have, or a filter that cannot be worked
    out, still ends the run: MapExpressionError.
    """
    for stream_map in stream_maps:
        if isinstance(stream_map, CustomStreamMap) and "_eval" not in vars(stream_map):
            forgiving = _Forgiving(stream_map)
            stream_map._eval = forgiving.evaluate  # type: ignore[method-assign]


class _Forgiving:
    """The evaluation of one stream map's expressions."""

    def __init__(self, stream_map: CustomStreamMap) -> None:
        self._evaluate: Callable[..., Any] = stream_map._eval
        self._stream = stream_map.stream_name
        self._fields = frozenset(stream_map.raw_schema.get("properties") or {})
        self._told: set[str] = set()

    def evaluate(self, expr: str, expr_parsed: Any, record: Any, property_name: str | None) -> Any:
        """The expression's value for the record; None where the record does not let it be said."""
        try:
            return self._evaluate(expr, expr_parsed, record, property_name)
        except MapExpressionError as err:
            self._refuse_unknown(err.__cause__, property_name)
            self._say_missing(property_name, err.__cause__ or err)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as err:
            self._say_missing(property_name, err)
        return None

    def _refuse_unknown(self, cause: BaseException | None, property_name: str | None) -> None:
        """Raises MapExpressionError where the mistake is in the map, whatever the records hold."""
        where = f"{self._stream}.{property_name or '__filter__'}"
        if isinstance(cause, simpleeval.NameNotDefined):
            if cause.name not in self._fields:
                raise MapExpressionError(
                    f"{where}: the source has no field {cause.name!r}."
                ) from cause
        elif not isinstance(cause, simpleeval.AttributeDoesNotExist):
            raise MapExpressionError(f"{where}: the expression cannot be worked out.") from cause

    def _say_missing(self, property_name: str | None, err: BaseException) -> None:
        if property_name is None:
            raise MapExpressionError(
                f"{self._stream}.__filter__: cannot be worked out for a record"
                f" ({type(err).__name__})."
            ) from err
        if property_name not in self._told:
            self._told.add(property_name)
            logger.warning(
                "Stream map %s.%s cannot be worked out for some records (%s); the field counts as"
                " missing there.",
                self._stream,
                property_name,
                type(err).__name__,
            )
