"""While Claude is well, nothing is to be seen of the proxy."""

from stand import SONNET

TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def test_an_answer_is_the_one_that_claude_gave(house, way):
    at = house({SONNET: {"text": "All is well, and whole."}})
    answer = way(at)
    assert (answer.text, answer.stop_reason) == ("All is well, and whole.", "end_turn")
    assert (answer.model, answer.outcome, answer.degraded) == (SONNET, "direct", False)
    assert at.attempts() == [SONNET]


def test_a_tool_is_called_with_its_input(house, way):
    use = {"name": "weather", "input": {"city": "Zürich", "days": [1, 2]}}
    at = house({SONNET: {"text": "Let me see.", "thinking": "Hm.", "tool_use": use, "pings": 2}})
    answer = way(at, tools=[TOOL])
    assert (answer.text, answer.stop_reason) == ("Let me see.", "tool_use")
    assert answer.tools == [("weather", {"city": "Zürich", "days": [1, 2]})]
    assert at.attempts() == [SONNET]
