"""Pictures take most of the time of a preflight: they are drawn only for who asks for them."""

import pytest


@pytest.fixture
def with_pictures() -> None:
    """For a test that has them drawn."""


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "with_pictures" not in request.fixturenames:
        request.getfixturevalue("no_pictures")
        monkeypatch.setattr("labwright.session.preflight.thorough.plot_history", lambda *_, **__: None)
