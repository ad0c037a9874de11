import asyncio
import threading

from receiver.lookups import MOST_STRANGERS_PER_S, TooManyStrangers, WebhookLookup


class Directory:
    def __init__(self):
        self.asked = []
        self.fault = None

    def get(self, webhook_id):
        self.asked.append(webhook_id)
        if self.fault:
            raise self.fault
        return None if webhook_id.startswith("unknown") else object()


def test_an_answer_is_kept_for_a_moment_only():
    directory, now = Directory(), [0.0]
    lookup = WebhookLookup(directory, keep_s=2, most=10, clock=lambda: now[0])

    async def find_at(*times):
        for now[0] in times:
            await lookup.find("known")
            await lookup.find("unknown")

    asyncio.run(find_at(0, 1, 1.99, 2.0, 3.9, 4.0))

    assert directory.asked == ["known", "unknown"] * 3


def test_what_is_at_hand_is_a_known_webhook_for_as_long_as_the_answer_is_kept():
    now = [0.0]
    lookup = WebhookLookup(Directory(), keep_s=2, most=10, clock=lambda: now[0])

    before = lookup.at_hand("known")
    found = asyncio.run(lookup.find("known"))
    asyncio.run(lookup.find("unknown"))
    now[0] = 1.99
    kept, unknown = lookup.at_hand("known"), lookup.at_hand("unknown")
    now[0] = 2.0

    assert (before, kept, unknown, lookup.at_hand("known")) == (None, found, None, None)


def test_many_who_ask_at_once_ask_once():
    directory = Directory()
    lookup = WebhookLookup(directory, keep_s=2, most=10)

    async def find_all():
        return await asyncio.gather(*[lookup.find("known") for _ in range(100)])

    found = asyncio.run(find_all())

    assert directory.asked == ["known"]
    assert len(set(found)) == 1


def test_no_more_than_so_many_ids_are_remembered():
    lookup = WebhookLookup(Directory(), keep_s=2, most=10)

    async def find_all():
        for number in range(100):
            await lookup.find(f"unknown-{number}")

    asyncio.run(find_all())

    assert len(lookup._kept) == 10


def test_a_fault_is_told_to_all_who_wait_and_is_not_remembered():
    directory = Directory()
    directory.fault = OSError()
    lookup = WebhookLookup(directory, keep_s=2, most=10)

    async def find_all():
        first = await asyncio.gather(
            *[lookup.find("known") for _ in range(3)], return_exceptions=True
        )
        directory.fault = None
        return first, await lookup.find("known")

    faults, found = asyncio.run(find_all())

    assert [type(fault) for fault in faults] == [OSError] * 3
    assert found is not None


def test_one_who_goes_away_does_not_take_the_answer_from_the_others():
    directory = Directory()
    lookup = WebhookLookup(directory, keep_s=2, most=10)

    async def find_all():
        gone = asyncio.create_task(lookup.find("known"))
        stays = asyncio.create_task(lookup.find("known"))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(find_all()) is not None


def test_made_up_ids_cannot_keep_the_database_busy():
    directory, now = Directory(), [0.0]
    lookup = WebhookLookup(directory, keep_s=0, most=10, clock=lambda: now[0])

    async def find_all():
        await lookup.find_for_sender("known")
        refused = 0
        for number in range(10 * MOST_STRANGERS_PER_S):
            try:
                await lookup.find_for_sender(f"unknown-{number}")
            except TooManyStrangers:
                refused += 1
        known = await lookup.find_for_sender("known")
        now[0] += 1
        return refused, known, await lookup.find_for_sender("unknown-again")

    refused, known, again = asyncio.run(find_all())

    assert refused == 9 * MOST_STRANGERS_PER_S + 1
    assert (known is not None, again) == (True, None)
    assert len(directory.asked) == MOST_STRANGERS_PER_S + 2


def test_what_is_forgotten_is_asked_again():
    directory = Directory()
    lookup = WebhookLookup(directory, keep_s=2, most=10)

    async def find_twice():
        await lookup.find("known")
        lookup.forget("known")
        lookup.forget("never asked for")
        await lookup.find("known")

    asyncio.run(find_twice())

    assert directory.asked == ["known", "known"]


def test_an_answer_that_was_on_its_way_when_it_was_forgotten_is_not_kept():
    asked, may_answer = threading.Event(), threading.Event()

    class SlowDirectory:
        answers = iter(["old", "new"])

        def get(self, webhook_id):
            answer = next(self.answers)
            if answer == "old":
                asked.set()
                assert may_answer.wait(5)
            return answer

    lookup = WebhookLookup(SlowDirectory(), keep_s=2, most=10)

    async def forget_between():
        first = asyncio.create_task(lookup.find("known"))
        await asyncio.to_thread(asked.wait, 5)
        lookup.forget("known")
        second = await lookup.find("known")
        may_answer.set()
        return await first, second, await lookup.find("known")

    found = asyncio.run(forget_between())

    assert found == ("old", "new", "new")
