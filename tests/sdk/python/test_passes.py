"""What is no message passes through: models, batches, files. It is tried once, and the SDK decides on the rest."""

import asyncio
import inspect

import anthropic
import pytest

import errors
from stand import HAIKU, SONNET
from ways import CALL, client_of

BATCH = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-11-24T08:00:00Z",
    "expires_at": "2026-11-25T08:00:00Z",
    "ended_at": "2026-11-24T09:00:00Z",
    "archived_at": None,
    "cancel_initiated_at": None,
    # At the real API an absolute one, which the SDK asks for past any base URL.
    "results_url": "/v1/messages/batches/msgbatch_1/results",
}
RESULT = '{"custom_id":"%s","result":{"type":"canceled"}}\n'
FILE = {
    "id": "file_1",
    "type": "file",
    "filename": "notes.txt",
    "mime_type": "text/plain",
    "size_bytes": 5,
    "created_at": "2026-11-24T08:00:00Z",
    "downloadable": True,
}
BYTES = {"status": 200, "body": "\x00hello\n" * 1000, "headers": {"content-type": "application/octet-stream"}}


def ok(json):
    return {"status": 200, "json": json}


def listed(*data):
    return ok({"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]})


CLAUDE = {
    SONNET: "ok",
    HAIKU: "ok",
    "/v1/messages/batches": [ok(BATCH), listed(BATCH)],
    "/v1/messages/batches/msgbatch_1": ok(BATCH),
    "/v1/messages/batches/msgbatch_1/cancel": ok(BATCH),
    "/v1/messages/batches/msgbatch_1/results": {
        "status": 200,
        "body": RESULT % "one" + RESULT % "two",
        "headers": {"content-type": "application/x-jsonl"},
    },
    "/v1/files": [ok(FILE), listed(FILE)],
    "/v1/files/file_1": ok(FILE),
    "/v1/files/file_1/content": BYTES,
}
ITEM = {"custom_id": "one", "params": CALL}


async def awaited(value):
    return await value if inspect.isawaitable(value) else value


async def all_of(value):
    value = await awaited(value)
    return [item async for item in value] if hasattr(value, "__aiter__") else list(value)


async def bytes_of(value):
    return await awaited((await awaited(value)).read())


async def count_tokens(client):
    counted = await awaited(client.messages.count_tokens(model=SONNET, messages=CALL["messages"]))
    assert counted.input_tokens > 0


async def models(client):
    assert [model.id for model in await all_of(client.models.list())] == [HAIKU, SONNET]
    assert (await awaited(client.models.retrieve(SONNET))).display_name == SONNET


async def batches(client):
    batches = client.messages.batches
    assert (await awaited(batches.create(requests=[ITEM]))).id == "msgbatch_1"
    assert [batch.id for batch in await all_of(batches.list())] == ["msgbatch_1"]
    assert (await awaited(batches.retrieve("msgbatch_1"))).request_counts.succeeded == 1
    results = await all_of(batches.results("msgbatch_1"))
    assert [result.custom_id for result in results] == ["one", "two"]
    assert (await awaited(batches.cancel("msgbatch_1"))).processing_status == "ended"


async def files(client):
    files = client.beta.files
    uploaded = await awaited(files.upload(file=("notes.txt", b"hello" * 100_000, "text/plain")))
    assert uploaded.filename == "notes.txt"
    assert [file.id for file in await all_of(files.list())] == ["file_1"]
    assert (await awaited(files.retrieve_metadata("file_1"))).size_bytes == 5
    assert await bytes_of(files.download("file_1")) == b"\x00hello\n" * 1000


B, F = "/v1/messages/batches", "/v1/files"
PASSES = {
    count_tokens: [("POST", "/v1/messages/count_tokens")],
    models: [("GET", "/v1/models"), ("GET", f"/v1/models/{SONNET}")],
    batches: [
        ("POST", B),
        ("GET", B),
        ("GET", f"{B}/msgbatch_1"),
        ("GET", f"{B}/msgbatch_1"),
        ("GET", f"{B}/msgbatch_1/results"),
        ("POST", f"{B}/msgbatch_1/cancel"),
    ],
    files: [("POST", F), ("GET", F), ("GET", f"{F}/file_1"), ("GET", f"{F}/file_1/content")],
}
both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def run(house, do, is_async, **options):
    """Runs what is written for either kind of client."""

    async def run():
        client = client_of(house, is_async, **options)
        try:
            return await do(client)
        finally:
            await awaited(client.close())

    return asyncio.run(run())


@both
@pytest.mark.parametrize(("do", "requests"), PASSES.items(), ids=lambda it: getattr(it, "__name__", ""))
def test_it_passes_through(house, do, requests, is_async):
    at = house(CLAUDE)
    run(at, do, is_async)
    assert [(seen["method"], seen["path"].split("?")[0]) for seen in at.seen()] == requests


def list_models(client):
    return awaited(client.models.list())


# One time by the proxy, and as often as it will by the SDK, which may try such a failure again.
FAILS = {
    "upstream is overloaded": ("overloaded", 529, "overloaded_error", 3),
    "upstream has a limit": ("rate_limited", 429, "rate_limit_error", 3),
    "upstream resets the connection": ("reset", 502, "api_error", 3),
    "the key is wrong": ("unauthorized", 401, "authentication_error", 1),
}


@both
@pytest.mark.parametrize(("reply", "status", "kind", "tries"), FAILS.values(), ids=FAILS)
def test_a_failure_passes_through(house, reply, status, kind, tries, is_async):
    if reply != "reset":
        reply = {"is": reply, "retry_after": {"millis": 1}}
    for retries, expected in [(0, 1), (2, tries)]:
        at = house({"/v1/models": reply})
        with pytest.raises(anthropic.APIStatusError) as raised:
            run(at, list_models, is_async, max_retries=retries)
        errors.check(raised.value, status, kind, is_async)
        assert at.attempts() == ["/v1/models"] * expected


@both
def test_a_download_that_breaks_off_raises(house, is_async):
    at = house({"/v1/files/file_1/content": {**BYTES, "fail": {"after_deltas": 1, "with": "cut"}}})
    with pytest.raises(anthropic.APIConnectionError):
        run(at, lambda client: bytes_of(client.beta.files.download("file_1")), is_async, max_retries=0)
    assert len(at.attempts()) == 1


@both
def test_a_timeout_of_the_sdk_is_its_own_where_the_proxy_has_none(house, is_async):
    at = house({"/v1/models": "hang"})
    with pytest.raises(anthropic.APITimeoutError):
        run(at, list_models, is_async, timeout=0.3, max_retries=0)
    assert at.attempts() == ["/v1/models"]


@both
def test_a_count_is_retried_and_never_made_up(house, is_async):
    path = "/v1/messages/count_tokens"
    at = house({path: ["overloaded", "ok"]})
    run(at, count_tokens, is_async)
    assert at.attempts() == [SONNET, SONNET]
    at = house({path: "overloaded"}, backoff__attempts=3)
    with pytest.raises(anthropic.APIStatusError) as raised:
        run(at, count_tokens, is_async)
    errors.check(raised.value, 529, "overloaded_error", is_async)
    assert at.attempts() == [SONNET] * 2 + [HAIKU] * 3


@both
def test_a_proxy_that_is_not_there_is_a_connection_error(house, is_async):
    at = house({})
    at.close()
    with pytest.raises(anthropic.APIConnectionError):
        run(at, list_models, is_async, max_retries=0)
