"""Where a model is down, the SDK gets an answer all the same, or one clean error."""

import anthropic
import pytest

import errors
from stand import HAIKU, IMPATIENT, SONNET
from test_well import TOOL

# What goes wrong before anything is said, and how often a model is tried while another one waits.
DOWN = {
    "it is overloaded": ("overloaded", 2),
    "it is overloaded and wants no second try": ({"is": "overloaded", "should_retry": False}, 1),
    "it fails": ("server_error", 2),
    "the edge answers for it, in HTML": ("unavailable", 2),
    "it has no time": ("timed_out", 2),
    "it resets the connection": ("reset", 2),
    "it never answers": ("hang", 1),
    "it is gone": ("unknown_model", 1),
    "it is cut before it says a word": ({"fail": {"at": "message_start", "with": "cut"}}, 2),
    "it ends before it says a word": ({"fail": {"at": "message_start", "with": "end"}}, 2),
    "it stalls before it says a word": ({"fail": {"at": "start", "with": "stall"}}, 1),
    "it is overloaded after its start": ({"fail": {"at": "message_start", "with": "overloaded"}}, 2),
    "it fails after its start": ({"fail": {"at": "message_start", "with": "api_error"}}, 2),
}
down = pytest.mark.parametrize(("reply", "tries"), DOWN.values(), ids=DOWN)
retries = pytest.mark.parametrize("options", [{}, {"max_retries": 0}], ids=["by default", "without SDK retries"])

ALL_OVERLOADED = {SONNET: "overloaded", HAIKU: "overloaded"}


@down
def test_the_next_model_answers(house, way, reply, tries):
    silent = reply == "hang" or "stall" in str(reply)
    at = house({SONNET: reply, HAIKU: {"text": "From the next one."}}, **IMPATIENT if silent else {})
    answer = way(at)
    assert (answer.text, answer.model) == ("From the next one.", HAIKU)
    assert (answer.outcome, answer.degraded) == ("fallback", False)
    assert at.attempts() == [SONNET] * tries + [HAIKU]


def test_a_second_try_that_succeeds_is_the_answer(house, way):
    at = house({SONNET: ["overloaded", {"text": "Well again."}]})
    answer = way(at)
    assert (answer.text, answer.outcome) == ("Well again.", "retried")
    assert at.attempts() == [SONNET, SONNET]


def test_where_all_are_down_a_canned_answer_stands_in(house, way):
    settings = {"backoff__attempts": 3, "features__default__message": "Back “soon”."}
    at = house(ALL_OVERLOADED, **settings)
    answer = way(at)
    assert (answer.text, answer.stop_reason) == ("Back “soon”.", "end_turn")
    assert (answer.outcome, answer.degraded) == ("canned", True)
    assert answer.headers["tower-claude-degraded"] == "overloaded"
    assert at.attempts() == [SONNET] * 2 + [HAIKU] * 3


def test_where_all_are_down_an_answer_that_was_given_before_stands_in(house, way):
    at = house({SONNET: [{"text": "Said before."}, "overloaded"], HAIKU: "overloaded"})
    before = way(at)
    again = way(at)
    assert (again.text, again.model) == (before.text, before.model)
    assert (again.outcome, again.degraded) == ("cached", True)
    assert int(again.headers["age"]) >= 0
    assert at.attempts() == [SONNET] * 3 + [HAIKU] * 5


# What is raised where nothing may stand in: how it fails at both models, status, `error.type`, and tries.
LAST = {
    "overloaded": ("overloaded", 529, "overloaded_error", 2, 3),
    "overloaded after the start": (DOWN["it is overloaded after its start"][0], 529, "overloaded_error", 2, 3),
    "failing": ("server_error", 500, "api_error", 2, 3),
    "with the edge's words": ("unavailable", 503, "overloaded_error", 2, 3),
    "out of time": ("timed_out", 504, "timeout_error", 2, 2),
    "silent": ("hang", 504, "timeout_error", 1, 1),
    "cut": ("reset", 502, "api_error", 2, 3),
    "gone": ("unknown_model", 404, "not_found_error", 1, 1),
    "unpaid": ("spend_limit", 429, "rate_limit_error", 1, 0),
}


@pytest.mark.parametrize(("reply", "status", "kind", "first", "second"), LAST.values(), ids=LAST)
def test_the_failure_of_all_is_raised_as_what_it_was(house, some_way, reply, status, kind, first, second):
    silent = IMPATIENT if reply == "hang" else {}
    settings = {"backoff__attempts": 3, "features__default__degrade": "error", **silent}
    at = house({SONNET: reply, HAIKU: reply}, **settings)
    with pytest.raises(anthropic.APIStatusError) as raised:
        some_way(at)
    errors.check(raised.value, status, kind, some_way.is_async)
    assert at.attempts() == [SONNET] * first + [HAIKU] * second


@retries
def test_where_nothing_may_stand_in_the_error_is_the_last_word(house, way, options):
    at = house(ALL_OVERLOADED, backoff__attempts=3)
    options = {"default_headers": {"tower-claude-feature": "background_jobs"}, **options}
    with pytest.raises(anthropic.APIStatusError) as raised:
        way(at, options)
    errors.check(raised.value, 529, "overloaded_error", way.is_async)
    assert 1 <= int(raised.value.response.headers["retry-after"]) <= 30
    assert at.attempts() == [SONNET] * 2 + [HAIKU] * 3


def test_no_sentence_stands_in_for_the_call_of_a_tool(house, way):
    at = house(ALL_OVERLOADED, backoff__attempts=1, backoff__attempts_with_fallback=1)
    with pytest.raises(anthropic.APIStatusError) as raised:
        way(at, tools=[TOOL])
    errors.check(raised.value, 529, "overloaded_error", way.is_async)
    assert at.attempts() == [SONNET, HAIKU]


@pytest.mark.parametrize("reply", ["spend_limit", "no_credit"])
def test_no_other_model_is_asked_when_the_money_is_spent(house, way, reply):
    at = house({SONNET: reply})
    assert way(at).outcome == "canned"
    assert at.attempts() == [SONNET]


def test_a_timeout_of_the_sdk_brings_an_answer_in_time(house, some_way):
    """The SDK tells its timeout, 2 s, and the proxy has half of it."""
    slow = {"deadline": "60s", "timeouts__first_event": "30s", "timeouts__answer": "30s"}
    at = house({SONNET: "hang"}, features__default__degrade="error", features__default__fallback=False, **slow)
    with pytest.raises(anthropic.APIStatusError) as raised:
        some_way(at, {"timeout": 2})
    errors.check(raised.value, 504, "timeout_error", some_way.is_async)
    assert at.attempts() == [SONNET]
