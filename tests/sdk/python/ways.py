"""The ways an application asks the SDK for a message, all with one face.

A way is called with a house and gives what was `Said`, or raises what the SDK raises. Every client validates what it gets
(`_strict_response_validation`), so an answer that does not fit the SDK's types fails each test that sees it.
"""

import asyncio
import inspect
import json
import ssl
from dataclasses import dataclass, field

import anthropic

from stand import SONNET

CALL = {
    "model": SONNET,
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hi"}],
}


@dataclass
class Said:
    """A whole answer, however it came."""

    text: str
    model: str
    stop_reason: str
    tools: list
    degraded: bool
    headers: object

    @property
    def outcome(self):
        return self.headers["tower-claude-outcome"]


def said(message, headers):
    content = message.content
    return Said(
        text="".join(block.text for block in content if block.type == "text"),
        model=message.model,
        stop_reason=message.stop_reason,
        tools=[(block.name, block.input) for block in content if block.type == "tool_use"],
        degraded=message.model_extra.get("_degraded", False),
        headers=headers,
    )


@dataclass
class Heard:
    """What an application knows that reads event after event."""

    text: str = ""
    tools: dict = field(default_factory=dict)
    message: object = None
    stop_reason: str = None
    whole: bool = False

    def hear(self, event):
        if event.type == "message_start":
            self.message = event.message
        elif event.type == "content_block_start" and event.content_block.type == "tool_use":
            self.tools[event.index] = (event.content_block.name, "")
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            self.text += event.delta.text
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            name, json_so_far = self.tools[event.index]
            self.tools[event.index] = (name, json_so_far + event.delta.partial_json)
        elif event.type == "message_delta":
            self.stop_reason = event.delta.stop_reason
        elif event.type == "message_stop":
            self.whole = True

    def said(self, headers):
        assert self.whole, "a stream ended as if it were whole, and is not"
        return Said(
            text=self.text,
            model=self.message.model,
            stop_reason=self.stop_reason,
            tools=[(name, json.loads(text)) for name, text in self.tools.values()],
            degraded=self.message.model_extra.get("_degraded", False),
            headers=headers,
        )


def create(client, call, heard):
    raw = client.messages.with_raw_response.create(**call)
    return said(raw.parse(), raw.headers)


def create_stream(client, call, heard):
    with client.messages.create(stream=True, **call) as stream:
        for event in stream:
            heard.hear(event)
        return heard.said(stream.response.headers)


def stream(client, call, heard):
    with client.messages.stream(**call) as stream:
        return said(stream.get_final_message(), stream.response.headers)


def text_stream(client, call, heard):
    with client.messages.stream(**call) as stream:
        for text in stream.text_stream:
            heard.text += text
        return said(stream.get_final_message(), stream.response.headers)


async def async_create(client, call, heard):
    raw = await client.messages.with_raw_response.create(**call)
    message = raw.parse()
    # Awaited since 1.0.
    message = await message if inspect.isawaitable(message) else message
    return said(message, raw.headers)


async def async_create_stream(client, call, heard):
    async with await client.messages.create(stream=True, **call) as stream:
        async for event in stream:
            heard.hear(event)
        return heard.said(stream.response.headers)


async def async_stream(client, call, heard):
    async with client.messages.stream(**call) as stream:
        return said(await stream.get_final_message(), stream.response.headers)


async def async_text_stream(client, call, heard):
    async with client.messages.stream(**call) as stream:
        async for text in stream.text_stream:
            heard.text += text
        return said(await stream.get_final_message(), stream.response.headers)


# It takes longer to make than a test, and no proxy on loopback needs it.
TLS = ssl.create_default_context()


def client_of(house, is_async=False, **options):
    """A client as an application makes it, which retries by itself unless the options say otherwise."""
    kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    http = anthropic.DefaultAsyncHttpxClient if is_async else anthropic.DefaultHttpxClient
    options = {"api_key": "key-of-the-caller", "http_client": http(verify=TLS), **options}
    return kind(base_url=house.url, _strict_response_validation=True, **options)


class Way:
    def __init__(self, ask):
        self._ask = ask
        self.is_async = inspect.iscoroutinefunction(ask)
        self.hears = "stream" in ask.__name__ and ask not in (stream, async_stream)

    def __str__(self):
        return self._ask.__name__

    def __call__(self, house, options=(), heard=None, **call):
        call = {**CALL, **call}
        heard = heard or Heard()
        options = dict(options)
        if not self.is_async:
            with client_of(house, **options) as client:
                return self._ask(client, call, heard)

        async def run():
            async with client_of(house, is_async=True, **options) as client:
                return await self._ask(client, call, heard)

        return asyncio.run(run())


STREAMS = [
    Way(ask)
    for ask in [create_stream, stream, text_stream]
    + [async_create_stream, async_stream, async_text_stream]
]
ALL = [Way(create), Way(async_create), *STREAMS]
SOME = [Way(create), Way(async_stream)]
