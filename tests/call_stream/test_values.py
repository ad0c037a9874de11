from datetime import UTC, datetime

import msgspec
import pytest

from call_stream import values


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-20T15:05:25.390Z", "2026-11-20T15:05:25.390Z"),
        ("2026-11-20t15:05:25z", "2026-11-20T15:05:25.000Z"),
        ("2026-11-20T16:05:25.3901239+01:00", "2026-11-20T15:05:25.390Z"),
        ("2026-11-20 15:05:25", "2026-11-20T15:05:25.000Z"),
        ("20261120T150525Z", "2026-11-20T15:05:25.000Z"),
        (1795187125400, "2026-11-20T15:05:25.400Z"),
        (1795187125, "2026-11-20T15:05:25.000Z"),
        (1795187125.4, "2026-11-20T15:05:25.400Z"),
        ("1795187125400", "2026-11-20T15:05:25.400Z"),
        ("1795187125.4", "2026-11-20T15:05:25.400Z"),
    ],
)
def test_a_time_of_any_form_is_one_text(written: object, expected: str) -> None:
    moment = values.to_moment(written)

    assert moment is not None
    assert values.to_iso(moment) == expected


@pytest.mark.parametrize(
    "written",
    ["", "soon", "0001-01-01T00:00:00+23:00", "2126-01-01", 0, -1, 1e30, float("nan"), True, []],
)
def test_what_is_no_time_of_our_days_is_missing(written: object) -> None:
    assert values.to_moment(written) is None


def test_text_keeps_everything_but_nul_and_lone_surrogates() -> None:
    told = "a\x00b \ud83d \ud83d\udc4b bell\x07 \u202eRTL\u202c é"

    assert values.clean(told) == "ab \ufffd 👋 bell\x07 \u202eRTL\u202c é"


def test_a_long_text_is_cut_and_a_long_token_is_missing() -> None:
    assert values.to_text("ab" * 10, 5) == "ababa"
    assert values.to_token("ab" * 10, 5) is None


def test_structured_data_is_clean_all_through() -> None:
    told = {"a\x00": ["\ud800", {"b": float("inf"), "c": 2**70, "d": True, "e": None}]}

    assert values.to_json_object(told) == {
        "a": ["\ufffd", {"b": None, "c": str(2**70), "d": True, "e": None}]
    }


def test_structured_data_has_a_bound_in_size_and_in_depth() -> None:
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"deeper": deep}

    kept = values.to_json_object({"deep": deep, "big": "x" * 300_000, "last": 1})

    assert list(kept) == ["deep"]
    assert len(msgspec.json.encode(kept)) < 500


def test_a_time_is_written_in_utc() -> None:
    assert values.to_iso(datetime(2026, 11, 20, tzinfo=UTC)) == "2026-11-20T00:00:00.000Z"
