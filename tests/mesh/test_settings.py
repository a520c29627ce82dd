"""Settings: complete at start, refusing what they do not know."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from mesh.settings import SettingsError, describe, load, setting


class Mode(Enum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    port: int = setting(8080, doc="Where to listen.", minimum=0, maximum=65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    database_url: str = setting("sqlite:///x.db", doc="The database.", secret=True)
    lease_seconds: float = setting(5.0, doc="How long a lease holds.")
    workers: int = setting(2, doc="How many.", minimum=1)
    manual: bool = setting(False, doc="For tests.")
    mode: Mode = setting(Mode.SAFE, doc="How.")
    folder: Path = setting(Path("data"), doc="Where files go.")
    topics: tuple[str, ...] = setting((), doc="What to read.")
    redis_url: str | None = setting(None, doc="Where Redis is.")
    server: Inner = field(default_factory=Inner)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load(Outer, {}, "X_") == Outer()


def test_every_kind_of_value_is_read() -> None:
    environ = {
        "X_DATABASE_URL": "mysql+pymysql://h/d",
        "X_LEASE_SECONDS": "1.5",
        "X_WORKERS": "4",
        "X_MANUAL": "true",
        "X_MODE": "fast",
        "X_FOLDER": "/srv",
        "X_TOPICS": "a, b",
        "X_REDIS_URL": "redis://h:1/0",
        "X_SERVER_PORT": "9",
        "OTHER": "ignored",
    }

    assert load(Outer, environ, "X_") == Outer(
        database_url="mysql+pymysql://h/d",
        lease_seconds=1.5,
        workers=4,
        manual=True,
        mode=Mode.FAST,
        folder=Path("/srv"),
        topics=("a", "b"),
        redis_url="redis://h:1/0",
        server=Inner(port=9),
    )


def test_an_empty_text_unsets_an_optional_value() -> None:
    assert load(Outer, {"X_REDIS_URL": ""}, "X_").redis_url is None


def test_an_unknown_key_is_refused_with_the_list_of_the_known_ones() -> None:
    with pytest.raises(SettingsError) as refused:
        load(Outer, {"X_LEESE_SECONDS": "1"}, "X_")

    assert "X_LEESE_SECONDS: unknown setting; known are X_DATABASE_URL, X_FOLDER, X_LEASE_SECONDS" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("X_WORKERS", "many", "X_WORKERS: expected a whole number, found 'many'"),
        ("X_WORKERS", "0", "X_WORKERS: expected at least 1, found '0'"),
        ("X_LEASE_SECONDS", "-1", "X_LEASE_SECONDS: expected at least 0, found '-1'"),
        ("X_LEASE_SECONDS", "nan", "X_LEASE_SECONDS: expected a finite number, found 'nan'"),
        ("X_MANUAL", "perhaps", "X_MANUAL: expected true or false, found 'perhaps'"),
        ("X_MODE", "slow", "X_MODE: expected one of fast, safe, found 'slow'"),
        ("X_SERVER_PORT", "70000", "X_SERVER_PORT: expected at most 65535, found '70000'"),
        ("X_REDIS_URL", "h", "X_REDIS_URL: expected a URL with its scheme, such as redis://host:6379/0, found 'h'"),
    ],
)
def test_a_wrong_value_is_refused_saying_expected_and_found(key: str, text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(Outer, {key: text}, "X_")

    assert refused.value.problems == (expected,)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load(Outer, {"X_WORKERS": "many", "X_MODE": "slow", "X_WHAT": "1"}, "X_")

    assert len(refused.value.problems) == 3


def test_a_secret_is_shown_nowhere() -> None:
    settings = load(Outer, {"X_DATABASE_URL": "mysql://u:pw@h/d"}, "X_")

    assert "pw" not in repr(settings)
    assert describe(Outer, "X_")[0].default == "(hidden)"
    with pytest.raises(SettingsError) as refused:
        load(Outer, {"X_DATABASE_URL": "pw"}, "X_")
    assert "'pw'" not in str(refused.value)


def test_settings_are_described_in_order() -> None:
    described = describe(Outer, "X_")

    assert [each.key for each in described][:3] == ["X_DATABASE_URL", "X_LEASE_SECONDS", "X_WORKERS"]
    assert described[-1].key == "X_SERVER_PORT"
    assert (described[1].kind, described[1].default, described[1].doc) == ("number", "5.0", "How long a lease holds.")


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Outer().workers = 3  # type: ignore[misc]


def test_a_field_without_a_default_is_a_mistake_of_ours() -> None:
    @dataclass(frozen=True)
    class Wrong:
        needed: int

    with pytest.raises(TypeError, match="expected a default"):
        load(Wrong, {}, "X_")
