"""What every test has: houses of its own, and ways to ask."""

import pytest

import ways
from stand import House


@pytest.fixture
def house():
    """Builds a house that the test has for itself."""
    built = []

    def build(claude, **more):
        built.append(House(claude, **more))
        return built[-1]

    yield build
    for house in built:
        house.close()


@pytest.fixture(params=ways.ALL, ids=str)
def way(request):
    """Every way to ask for a message."""
    return request.param


@pytest.fixture(params=ways.SOME, ids=str)
def some_way(request):
    """Two of them, for what is decided long before it matters how the caller asked."""
    return request.param


@pytest.fixture(params=ways.STREAMS, ids=str)
def stream(request):
    """Every way to ask for a message that comes piece by piece."""
    return request.param
