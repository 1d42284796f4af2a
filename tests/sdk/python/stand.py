"""A proxy in front of a fake Claude, for one test: see ../stand/main.rs."""

import json
import os
from urllib.request import Request, urlopen

SONNET = "claude-sonnet-5-5"
HAIKU = "claude-haiku-5-5"


def _ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = Request(os.environ["SDK_STAND"] + path, data, headers, method=method)
    with urlopen(request, timeout=30) as response:
        return json.load(response)


class House:
    """Scripts are by model or path, settings are keys of the proxy's file."""

    def __init__(self, claude, holds_key=False, **settings):
        settings = {key.replace("__", "."): value for key, value in settings.items()}
        order = {"claude": claude, "settings": settings, "holds_key": holds_key}
        house = _ask("POST", "/houses", order)
        self.url = house["url"]
        self._path = f"/houses/{house['id']}"

    def seen(self):
        """The requests that came to upstream, oldest first."""
        return _ask("GET", self._path)

    def attempts(self):
        """Of each request that came to upstream, the model, or else the path."""
        return [seen["model"] or seen["path"] for seen in self.seen()]

    def close(self):
        _ask("DELETE", self._path)
