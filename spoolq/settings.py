"""`spoolq.toml`: what everybody who shares a spool has to agree on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spoolq.errors import InvalidValue
from spoolq.states import MISSING_AFTER, REMOVE_AFTER, STUCK_AFTER

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final, Literal, NamedTuple

    Durability = Literal["full", "none"]
    Mode = Literal["single", "group"]
else:
    from spoolq.tuples import NamedTuple


_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class Settings(NamedTuple):
    """The settings of one spool. Sizes are bytes, durations seconds."""

    durability: Durability = "full"
    mode: Mode = "single"
    missing_after: float = MISSING_AFTER
    remove_after: float = REMOVE_AFTER
    stuck_after: float = STUCK_AFTER
    low_water: int | None = None
    """Free space below which new work is refused; None: 1 % of the file system, at most 64 MiB."""
    ballast: int | None = None
    """Space kept back so that running jobs can end on a full disk; None: 1 %, at most 8 MiB."""
    max_log: int = 64 * 1024 * 1024
    """Size of an attempt's log beyond which its middle is dropped."""
    env: Mapping[str, str] = _NONE
    """Variables that every executable is given."""
    pass_env: tuple[str, ...] = ()
    """Names of variables that executables inherit from the process that runs them."""
    schedules: Mapping[str, Mapping[str, Any]] = _NONE
    """Declared schedules by name: see `declared`, which checks what is in them."""


_TYPES: dict[str, tuple[type, ...]] = {
    "durability": (str,),
    "mode": (str,),
    "missing_after": (int, float),
    "remove_after": (int, float),
    "stuck_after": (int, float),
    "low_water": (int,),
    "ballast": (int,),
    "max_log": (int,),
    "env": (dict,),
    "pass_env": (list,),
    "schedules": (dict,),
}
_WORDS = {"durability": ("full", "none"), "mode": ("single", "group")}


def parse_settings(text: str) -> Settings:
    """Settings out of TOML. Raises InvalidValue with every problem in it, not only the first."""
    import tomllib  # for a spool that has settings

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"spoolq.toml is not TOML: {error}") from None
    problems = [problem for key, value in table.items() for problem in _problems(key, value)]
    if problems:
        raise InvalidValue("spoolq.toml: " + "; ".join(problems))
    if "pass_env" in table:
        table["pass_env"] = tuple(table["pass_env"])
    return Settings(**table)


def check_durability(value: str) -> Durability:
    """One of the two words, wherever it came from."""
    if value not in ("full", "none"):
        raise InvalidValue(f'durability must be "full" or "none", not {value!r}')
    return value  # type: ignore[return-value]  # checked on the line above


def _problems(key: str, value: Any) -> list[str]:
    known = Settings._fields
    if key not in known:
        return [f"unknown setting {key!r} (known: {', '.join(known)})"]
    if isinstance(value, bool) or not isinstance(value, _TYPES[key]):
        return [f"{key} must be {' or '.join(kind.__name__ for kind in _TYPES[key])}"]
    if key in _WORDS and value not in _WORDS[key]:
        return [f"{key} must be one of {', '.join(_WORDS[key])}, not {value!r}"]
    if isinstance(value, int | float) and not 0 <= value < 1e15:
        return [f"{key} must be 0 or more: {value}"]
    wrong: list[Any] = []
    if key == "schedules" and isinstance(value, dict):
        # One that is wrong is left out and reported; it must not keep jobs from being put in.
        tables = [name for name, item in value.items() if not isinstance(item, dict)]
        return [f"schedules: {name!r} must be a table: [schedules.{name}]" for name in tables]
    if isinstance(value, dict):
        wrong = [name for name, item in value.items() if not isinstance(item, str) or "\0" in item]
    elif isinstance(value, list):
        wrong = [name for name in value if not isinstance(name, str)]
    return [f"{key}: {name!r} must be a string" for name in wrong]
