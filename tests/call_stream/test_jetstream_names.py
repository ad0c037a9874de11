import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_stream.jetstream_names import subject_of, subjects_of, to_token

SAFE = set(string.ascii_letters + string.digits + "-_=")


@given(st.text(max_size=400))
def test_any_id_is_one_token_of_few_safe_characters(text):
    token = to_token(text)

    assert set(token) <= SAFE
    assert 0 < len(token) <= 96


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "="),
        ("", "=3D"),
        (".", "=2E"),
        ("a.b", "a=2Eb"),
        ("a.b", "a b"),
        ("é", "e\u0301"),
        ("a", "A"),
        ("x" * 200, "x" * 201),
        ("x" * 200, to_token("x" * 200)),
        ("\ud800", "\udfff"),
        ("*", ">"),
    ],
)
def test_ids_that_look_alike_have_tokens_of_their_own(one, other):
    assert to_token(one) != to_token(other)


@given(st.lists(st.text(max_size=120), min_size=2, max_size=20, unique=True))
def test_no_two_ids_share_a_token(texts):
    assert len({to_token(text) for text in texts}) == len(texts)


def test_a_plain_id_is_readable_in_its_subject():
    assert subject_of("CALLS", ("ada", "harbor-dental")) == "hubspot-calls.CALLS.ada.harbor-dental"


def test_where_one_id_ends_counts():
    assert subject_of("CALLS", ("a", "b.c")) != subject_of("CALLS", ("a.b", "c"))
    assert subject_of("CALLS", ("a", "b.c")).count(".") == subjects_of("CALLS")[0].count(".")
