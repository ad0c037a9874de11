"""The door to all connections, with connections that are only pretended and a clock of its own."""

import logging

import pytest

from receiver.connections import Admission, ConnectionBounds, Door, Phase, TurnedAway


class Loop:
    """The part of an event loop that a door uses."""

    def __init__(self):
        self.now = 0.0
        self.later = []

    def time(self):
        return self.now

    def call_later(self, delay_s, call, *arguments):
        self.later.append((self.now + delay_s, call, arguments))

    def run_until(self, moment):
        """Does what is due until then, in order."""
        while due := [each for each in self.later if each[0] <= moment]:
            first = min(due, key=lambda each: each[0])
            self.later.remove(first)
            self.now, call, arguments = first
            call(*arguments)
        self.now = moment


class Sender:
    def __init__(self, phase=Phase.HEAD, address="192.0.2.1"):
        self.address = address
        self.waits_for = phase
        self.request = None
        self.ended = None

    def phase(self):
        return self.waits_for, self.request

    def end(self, why):
        self.ended = why


@pytest.fixture
def loop():
    return Loop()


def a_door(loop, **bounds):
    door = Door(ConnectionBounds(**bounds))

    def enter(*phases, seconds=0.0, **options):
        """Lets senders in, one after the other, so many seconds apart."""
        senders = []
        for phase in phases:
            loop.run_until(loop.now + seconds)
            sender = Sender(**options)
            sender.admission = door.enter(sender, loop)
            sender.waits_for = phase
            senders.append(sender)
        return senders

    return door, enter


@pytest.mark.parametrize(
    ("phase", "limit", "why"),
    [
        (Phase.HEAD, "head_timeout_s", TurnedAway.SLOW_HEAD),
        (Phase.BODY, "body_timeout_s", TurnedAway.SLOW_BODY),
        (Phase.READING, "read_timeout_s", TurnedAway.UNREAD_ANSWER),
    ],
    ids=lambda value: str(value),
)
def test_a_sender_may_dawdle_for_a_while_only(loop, phase, limit, why):
    _, enter = a_door(loop, **{limit: 8.0})
    (sender,) = enter(phase)

    loop.run_until(8.0)
    in_time = sender.ended
    loop.run_until(10.1)

    assert (in_time, sender.ended) == (None, why)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.ANSWER, Phase.LEAVING])
def test_who_waits_for_us_or_for_nothing_is_left_alone(loop, phase):
    _, enter = a_door(loop)
    (sender,) = enter(phase)

    loop.run_until(1000)

    assert sender.ended is None


def test_each_request_has_its_own_time(loop):
    _, enter = a_door(loop, body_timeout_s=8.0)
    (sender,) = enter(Phase.BODY)

    for sender.request in range(100):
        loop.run_until(loop.now + 5)

    assert sender.ended is None


def test_dribbling_bytes_buys_no_time(loop):
    _, enter = a_door(loop, head_timeout_s=8.0)
    (sender,) = enter(Phase.HEAD)

    for _ in range(10):
        loop.run_until(loop.now + 1)

    assert sender.ended is TurnedAway.SLOW_HEAD


def test_the_oldest_that_dawdle_over_a_head_make_room(loop):
    door, enter = a_door(loop, max_connections=4)
    senders = enter(Phase.HEAD, Phase.BODY, Phase.HEAD, Phase.ANSWER, seconds=2)

    (newcomer,) = enter(Phase.HEAD, seconds=1.5)

    assert newcomer.admission is Admission.WELCOME
    assert [sender.ended for sender in senders] == [TurnedAway.SHED, None, None, None]
    assert len(door) == 4


def test_thousand_silent_senders_never_keep_another_out(loop):
    door, enter = a_door(loop, max_connections=1024)
    enter(*[Phase.HEAD] * 1500)

    for _ in range(50):
        (good,) = enter(Phase.ANSWER, seconds=0.01)
        enter(*[Phase.HEAD] * 100)

        assert good.admission is Admission.WELCOME
        assert good.ended is None
    assert len(door) <= 1024


def test_idle_senders_make_room_when_none_dawdles(loop):
    _, enter = a_door(loop, max_connections=3)
    senders = enter(Phase.ANSWER, Phase.IDLE, Phase.IDLE, seconds=2)
    loop.run_until(20)
    senders[1].request = "another, answered just now"
    loop.run_until(25)

    (newcomer,) = enter(Phase.HEAD)

    assert newcomer.admission is Admission.WELCOME
    assert [sender.ended for sender in senders] == [None, None, TurnedAway.SHED]


def test_of_newcomers_the_oldest_makes_room(loop):
    _, enter = a_door(loop, max_connections=3)
    senders = enter(Phase.ANSWER, Phase.HEAD, Phase.HEAD, seconds=0.1)

    (newcomer,) = enter(Phase.HEAD, seconds=0.1)

    assert newcomer.admission is Admission.WELCOME
    assert [sender.ended for sender in senders] == [None, TurnedAway.SHED, None]


def test_the_slowest_body_makes_room_only_when_nothing_else_does(loop):
    door, enter = a_door(loop, max_connections=2)
    senders = enter(Phase.BODY, Phase.BODY)

    loop.run_until(3)
    (early,) = enter(Phase.HEAD)
    door.leave(early)
    loop.run_until(9)
    (late,) = enter(Phase.HEAD)

    assert (early.admission, late.admission) == (Admission.SURPLUS, Admission.WELCOME)
    assert [sender.ended for sender in senders] == [TurnedAway.SHED, None]


def test_who_is_being_answered_is_never_closed_for_another(loop):
    _, enter = a_door(loop, max_connections=16)
    senders = enter(*[Phase.ANSWER] * 16)
    loop.run_until(100)

    newcomers = enter(*[Phase.ANSWER] * 4)

    admissions = [newcomer.admission for newcomer in newcomers]
    assert admissions == [Admission.SURPLUS] * 2 + [Admission.REFUSED] * 2
    assert {sender.ended for sender in senders} == {None}


def test_one_address_may_be_given_a_limit_of_its_own(loop):
    door, enter = a_door(loop, max_per_address=2)

    first, second, third = enter(*[Phase.ANSWER] * 3)
    (other,) = enter(Phase.ANSWER, address="192.0.2.2")
    door.leave(third)
    door.leave(first)
    door.leave(first)
    (fourth,) = enter(Phase.ANSWER)

    assert [sender.admission for sender in (first, second, third, other, fourth)] == [
        Admission.WELCOME,
        Admission.WELCOME,
        Admission.REFUSED,
        Admission.WELCOME,
        Admission.WELCOME,
    ]


def test_no_address_has_a_limit_unless_it_is_given_one(loop):
    _, enter = a_door(loop)

    senders = enter(*[Phase.ANSWER] * 500)

    assert {sender.admission for sender in senders} == {Admission.WELCOME}


def test_those_turned_away_are_counted_in_one_line_now_and_then(loop, caplog):
    door, enter = a_door(loop, max_connections=64, head_timeout_s=5.0)

    with caplog.at_level(logging.INFO, "receiver.connections"):
        enter(*[Phase.HEAD] * 10)
        loop.run_until(4)
        enter(*[Phase.HEAD] * 60)
        for sender in list(door._seen):
            sender.end = lambda why, sender=sender: door.leave(sender)
        loop.run_until(60)

    first, second = [record for record in caplog.records if record.name == "receiver.connections"]
    assert first.levelno == logging.WARNING
    assert first.message == "connections turned away: 6 shed"
    assert second.fields == {"event": "connections_turned_away", "slow_head": 64}
    assert loop.later == []


def test_bounds_that_cannot_work_are_refused_all_at_once():
    with pytest.raises(ValueError, match=r"max_connections .* more than 0; head_timeout_s"):
        ConnectionBounds(max_connections=0, head_timeout_s=-1)
