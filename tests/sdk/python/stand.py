"""A proxy in front of a fake Claude, for one test: see ../stand/main.rs."""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SONNET = "claude-sonnet-5-5"
HAIKU = "claude-haiku-5-5"

# For tests in which an upstream falls silent.
IMPATIENT = {"timeouts__first_event": "500ms", "timeouts__answer": "500ms", "timeouts__idle": "500ms"}


def _ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = Request(os.environ["SDK_STAND"] + path, data, headers, method=method)
    try:
        with urlopen(request, timeout=30) as response:
            return json.load(response)
    except HTTPError as error:
        raise ValueError(error.read().decode()) from None


class House:
    """Scripts are by model or path, settings are keys of the proxy's file."""

    def __init__(self, claude, holds_key=False, **settings):
        settings = {key.replace("__", "."): value for key, value in settings.items()}
        order = {"claude": claude, "settings": settings, "holds_key": holds_key}
        house = _ask("POST", "/houses", order)
        self.url = house["url"]
        self._path = f"/houses/{house['id']}"
        self._is_open = True

    def seen(self):
        """The requests that came to upstream, oldest first."""
        return _ask("GET", self._path)

    def attempts(self):
        """Of each request that came to upstream, the model, or else the path."""
        return [seen["model"] or seen["path"] for seen in self.seen()]

    def close(self):
        """Ends the proxy, if that was not done before."""
        if self._is_open:
            self._is_open = False
            _ask("DELETE", self._path)
