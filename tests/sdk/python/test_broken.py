"""An answer that breaks after its first words is never taken for a whole one, and never asked for again."""

import anthropic
import pytest

from stand import IMPATIENT, SONNET
from ways import CALL, Heard, client_of

TEXT = "One two three four."
HALF = "One two "

AT = {"in the middle": {"after_deltas": 2}, "before its end": {"at": "before_stop"}}
WITH = {
    "cut": "api_error",
    "close": "api_error",
    "end": "api_error",
    "stall": "timeout_error",
    "overloaded": "overloaded_error",
    "api_error": "api_error",
}


@pytest.mark.parametrize("at", AT.values(), ids=AT)
@pytest.mark.parametrize(("fault", "kind"), WITH.items(), ids=WITH)
def test_a_stream_that_breaks_raises(house, stream, fault, kind, at):
    silent = IMPATIENT if fault == "stall" else {}
    up = house({SONNET: {"text": TEXT, "fail": {**at, "with": fault}}}, **silent)
    heard = Heard()
    with pytest.raises(anthropic.APIStatusError) as raised:
        stream(up, heard=heard)
    # The answer began with a 200, so this is all that the SDK makes of it.
    assert (type(raised.value), raised.value.status_code) == (anthropic.APIStatusError, 200)
    assert raised.value.body["error"]["type"] == kind
    if stream.hears:
        assert heard.text == (HALF if "after_deltas" in at else TEXT)
    assert up.attempts() == [SONNET]


def test_a_stream_that_breaks_while_a_tool_is_called_raises(house, stream):
    use = {"name": "weather", "input": {"city": "Zürich"}}
    up = house({SONNET: {"text": TEXT, "tool_use": use, "fail": {"after_deltas": 5, "with": "cut"}}})
    with pytest.raises(anthropic.APIStatusError):
        stream(up)
    assert up.attempts() == [SONNET]


@pytest.mark.parametrize("fault", ["close", "end", "stall"])
def test_a_long_answer_that_is_no_stream_raises(house, fault):
    """Past 1 MiB it is sent on as it comes, so what breaks off can only be broken off."""
    up = house({SONNET: {"text": "x" * 3_000_000, "fail": {"after_deltas": 1, "with": fault}}}, timeouts__idle="300ms")
    # This one the SDK would try again.
    with client_of(up, max_retries=0) as client, pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**CALL)
    assert up.attempts() == [SONNET]
