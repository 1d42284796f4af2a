"""What is the caller's to mend, the caller is told at once, in the words of Claude."""

import anthropic
import pytest

import errors
from stand import HAIKU, SONNET

TOKEN = "token-of-a-caller"

# The status, `error.type`, and how often upstream is asked.
REFUSED = [
    (400, "invalid_request_error", 1),
    (401, "authentication_error", 1),
    (403, "permission_error", 1),
    (404, "not_found_error", 1),
    (409, "conflict_error", 2),
    (413, "request_too_large", 1),
    (422, "invalid_request_error", 1),
]


@pytest.mark.parametrize(("status", "kind", "tries"), REFUSED)
def test_a_refusal_is_raised_as_claude_gave_it(house, way, status, kind, tries):
    at = house({SONNET: {"status": status, "error": kind}})
    with pytest.raises(anthropic.APIStatusError) as raised:
        way(at)
    errors.check(raised.value, status, kind, way.is_async)
    assert raised.value.body["error"]["message"] == f"as scripted: {status}"
    assert raised.value.request_id.startswith("req_fake")
    assert at.attempts() == [SONNET] * tries


@pytest.mark.parametrize("size", [100_000, 8_000_000])
def test_a_call_that_is_too_large_for_the_proxy_goes_nowhere(house, way, size):
    at = house({}, max_body="64KiB")
    with pytest.raises(anthropic.APIStatusError) as raised:
        way(at, system="x" * size)
    errors.check(raised.value, 413, "request_too_large", way.is_async)
    assert at.attempts() == []


def test_a_proxy_that_holds_the_key_asks_for_a_token(house, way):
    at = house({}, holds_key=True)
    with pytest.raises(anthropic.AuthenticationError) as raised:
        way(at)
    errors.check(raised.value, 401, "authentication_error", way.is_async)
    assert at.attempts() == []


@pytest.mark.parametrize("by", ["api_key", "auth_token"])
def test_a_token_opens_a_proxy_that_holds_the_key(house, way, by):
    at = house({}, holds_key=True)
    # As `api_key` it is sent the way each major sends a key.
    answer = way(at, {"api_key": None, by: TOKEN})
    assert answer.outcome == "direct"
    assert at.attempts() == [SONNET]


def test_a_key_that_upstream_does_not_know_is_the_callers_to_mend(house, way):
    at = house({SONNET: "unauthorized", HAIKU: "ok"})
    with pytest.raises(anthropic.AuthenticationError) as raised:
        way(at)
    assert raised.value.body["error"]["message"] == "invalid x-api-key"
    assert at.attempts() == [SONNET]


def test_upstream_sees_what_the_sdk_says_of_itself(house, way):
    at = house({})
    way(at, {"default_headers": {"tower-claude-feature": "chat"}})
    (seen,) = at.seen()
    headers = seen["headers"]
    assert headers["anthropic-version"] == ("2026-10-21" if errors.IS_NEW else "2023-06-01")
    assert ("authorization" if errors.IS_NEW else "x-api-key") in headers
    assert headers["user-agent"].endswith(f"Python {anthropic.__version__}")
    assert headers["x-stainless-retry-count"] == "0"
    assert not any(name.startswith("tower-claude") for name in headers)
