"""A 429 is waited for if the wait is short, else the next model answers, and the SDK never multiplies it."""

import time

import anthropic
import pytest

import errors
from stand import HAIKU, SONNET
from ways import CALL, client_of

# How a 429 may say when to come back, and the least wait that it means. A date has whole seconds.
SHORT = {
    "in seconds": ({"seconds": 1}, 1),
    "in parts of a second": ({"fraction": 0.25}, 0.25),
    "in milliseconds": ({"millis": 250}, 0.25),
    "as a date": ({"date_in": 2}, 0.9),
    "as a date that is past": ({"date_ago": 5}, 0),
    "as zero": ({"text": "0"}, 0),
    "as less than zero": ({"text": "-5"}, 0),
    "in words": ({"text": "soon"}, 0),
    "not at all": (None, 0),
}
LONG = {
    "in seconds": {"seconds": 61},
    "in milliseconds": {"millis": 61_000},
    "as a date": {"date_in": 3600},
    "for years": {"text": "99999999"},
    "for longer than there is time": {"text": "9" * 35},
}


def limited(retry_after):
    reply = {"is": "rate_limited"}
    return reply if retry_after is None else {**reply, "retry_after": retry_after}


@pytest.mark.parametrize(("retry_after", "wait"), SHORT.values(), ids=SHORT)
def test_a_short_wait_is_waited_for(house, some_way, retry_after, wait):
    at = house({SONNET: [limited(retry_after), "ok"]})
    start = time.monotonic()
    answer = some_way(at)
    assert time.monotonic() - start >= wait
    assert answer.outcome == "retried"
    assert at.attempts() == [SONNET, SONNET]


@pytest.mark.parametrize("retry_after", LONG.values(), ids=LONG)
def test_the_next_model_answers_where_the_wait_is_long(house, some_way, retry_after):
    at = house({SONNET: limited(retry_after)})
    answer = some_way(at)
    assert (answer.model, answer.outcome) == (HAIKU, "fallback")
    assert at.attempts() == [SONNET, HAIKU]


@pytest.mark.parametrize("retry_after", LONG.values(), ids=LONG)
def test_where_all_waits_are_long_the_error_says_a_wait_that_can_be_waited(house, some_way, retry_after):
    at = house({SONNET: limited(retry_after), HAIKU: limited(retry_after)}, features__default__degrade="error")
    with pytest.raises(anthropic.RateLimitError) as raised:
        some_way(at)
    errors.check(raised.value, 429, "rate_limit_error", some_way.is_async)
    headers = raised.value.response.headers
    assert headers["retry-after"] == "30"
    assert "retry-after-ms" not in headers
    assert at.attempts() == [SONNET, HAIKU]


def test_a_full_compartment_is_a_429_that_may_be_tried_again(house, way):
    one = {"in_flight": 1, "queue": 0, "fallback": False}
    at = house(
        {SONNET: {"tokens": 200, "every_ms": 20}},
        **{f"features__default__{key}": value for key, value in one.items()},
    )
    with client_of(at) as client, client.messages.create(stream=True, **CALL) as stream:
        next(iter(stream))
        with pytest.raises(anthropic.RateLimitError) as raised:
            way(at, {"max_retries": 0})
        assert raised.value.response.headers["retry-after"] == "1"
        assert "x-should-retry" not in raised.value.response.headers
    assert at.attempts() == [SONNET]
