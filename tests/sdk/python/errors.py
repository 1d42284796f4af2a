"""What the SDK raises, by the class that each of its majors has for it."""

import anthropic

# The old major is of 0.75, the new one of 2.13.
IS_NEW = int(anthropic.__version__.split(".")[0]) >= 2

# Where the majors agree.
_NAMES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
_NEW_NAMES = {
    413: "ContentTooLargeError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
    529: "OverloadedError",
}
_OLD_NAMES = {413: "RequestTooLargeError", 529: "OverloadedError"}


# Its async client has no classes for these yet.
_OLD_ASYNC_NAMES = {413: "APIStatusError"}
# By `error.details.error_code`.
_CODES = {"enforced_spend_limit_reached": "EnforcedSpendLimitReachedError"}


def check(error, status, kind, is_async):
    """That an exception is the one for this status, with the `error.type` in its body."""
    special = _NEW_NAMES if IS_NEW else _OLD_ASYNC_NAMES if is_async else _OLD_NAMES
    name = {**_NAMES, **special}.get(status, "InternalServerError")
    code = (error.body["error"].get("details") or {}).get("error_code")
    if code and IS_NEW:
        name = _CODES[code]
    assert isinstance(error, anthropic.APIStatusError)
    assert (type(error).__name__, error.status_code) == (name, status)
    assert error.body["error"]["type"] == kind
