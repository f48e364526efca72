"""Arguments: what a function is called with, as JSON, and back again by its annotations.

A spool holds JSON and nothing else: a pickle in a shared directory would be a way to run code. So
the types that programs use most have one form in JSON each, and what a parameter is annotated with
says how it is read back:

    dataclass, TypedDict, pydantic and msgspec models    an object of its fields
    Enum                                                 its value
    datetime, date, time, UUID, Path, Decimal            a string
    timedelta                                            seconds
    tuple, set, frozenset                                a list

Without an annotation a task gets what JSON says.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, Union

from spoolq.errors import InvalidType

Decode = Callable[[Any], Any]
Arguments = tuple[list[Any], dict[str, Any]]

_PLAIN: Final = (str, int, float, bool, type(None))
_FAILURES: Final = (TypeError, ValueError, KeyError, ArithmeticError)


class Parameters:
    """The parameters of one function."""

    def __init__(self, task: str, fn: Callable[..., Any], *, takes_context: bool = False) -> None:
        """With `takes_context` its first one is the job, and no argument."""
        self._task = task
        self._fn = fn
        self._takes_context = takes_context
        self._signature: inspect.Signature | None = None
        # The names of parameters that are all of the usual kind, and how many have to be given.
        self._plain: tuple[str, ...] | None = None
        self._needed = 0
        self._decoders: dict[str, Decode] | None = None

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """The arguments of a call as JSON. Raises InvalidType when the function does not take them:
        at the call, where the mistake is, and not at the worker."""
        if not self._fits(args, kwargs):
            self._bind(args, kwargs)
        return [to_json(value) for value in args], {
            name: to_json(value) for name, value in kwargs.items()
        }

    def decode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """The arguments of a job as the function's annotations want them. Raises InvalidType."""
        if self._decoders is None:
            self._decoders = self._make_decoders()
        if not self._decoders:
            return list(args), dict(kwargs)
        bound = self._bind(args, kwargs)
        for name, value in bound.arguments.items():
            decode = self._decoders.get(name)
            if decode is not None:
                bound.arguments[name] = self._apply(decode, name, value)
        return list(bound.args), bound.kwargs

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument of a call by its name, those with defaults too. Raises InvalidType."""
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _fits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call is certainly right: in a tenth of the time that `bind` takes."""
        if self._plain is None:
            found = self._known_signature().parameters.values()
            plain = all(each.kind is each.POSITIONAL_OR_KEYWORD for each in found)
            self._plain = tuple(each.name for each in found) if plain else ()
            self._needed = sum(each.default is each.empty for each in found)
        first = len(args)
        if kwargs:
            return self._needed <= first and kwargs.keys() <= {*self._plain[first:]}
        return self._needed <= first <= len(self._plain)

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self._known_signature().bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidType(
                f"task {self._task!r} cannot be called like that: {error}; "
                f"it is {self._task}{self._known_signature()}"
            ) from None

    def _known_signature(self) -> inspect.Signature:
        if self._signature is None:
            try:
                found = inspect.signature(self._fn)
            except (TypeError, ValueError):  # a function in C that does not say
                found = inspect.signature(_anything)
            parameters = list(found.parameters.values())
            if self._takes_context and parameters and parameters[0].kind in _POSITIONAL:
                del parameters[0]
            self._signature = found.replace(parameters=parameters)
        return self._signature

    def _make_decoders(self) -> dict[str, Decode]:
        try:
            hints = typing.get_type_hints(self._fn, include_extras=True)
        except Exception:  # noqa: BLE001  # a name that only a type checker knows
            return {}
        found = {}
        for name, parameter in self._known_signature().parameters.items():
            decode = decoder(hints.get(name, Any))
            if decode is None:
                continue
            if parameter.kind is parameter.VAR_POSITIONAL:
                decode = _each(decode, tuple)
            elif parameter.kind is parameter.VAR_KEYWORD:
                decode = _values(decode)
            found[name] = decode
        return found

    def _apply(self, decode: Decode, name: str, value: Any) -> Any:
        try:
            return decode(value)
        except _FAILURES as error:
            raise InvalidType(
                f"task {self._task!r}: argument {name!r} is {value!r:.80}: {error}"
            ) from error


def _anything(*args: Any, **kwargs: Any) -> None:
    """What a function that does not say it takes."""


_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


# -- to JSON -------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """A value in the form that its type has in JSON; what has none stays as it is, and is refused
    by whoever stores it."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple or isinstance(value, set | frozenset):
        return [to_json(item) for item in value]
    if kind is dict:
        return {to_json(key): to_json(item) for key, item in value.items()}
    return _special(value)


def _special(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_json(getattr(value, field.name)) for field in fields}
    if hasattr(type(value), "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    for kind, encode, _ in _scalars():
        if isinstance(value, kind):
            return encode(value)
    return value


def _scalars() -> list[tuple[type, Callable[[Any], Any], Decode]]:
    """(type, to JSON, from JSON); a subclass before what it is derived from."""
    # Looked up here: most programs have imported few of them, and a spool needs none.
    import datetime as dt
    import decimal
    import enum
    import pathlib
    import uuid

    return [
        (enum.Enum, lambda value: to_json(value.value), lambda value: value),
        (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
        (dt.date, dt.date.isoformat, dt.date.fromisoformat),
        (dt.time, dt.time.isoformat, dt.time.fromisoformat),
        (dt.timedelta, dt.timedelta.total_seconds, _timedelta),
        (uuid.UUID, str, uuid.UUID),
        (pathlib.PurePath, str, pathlib.Path),
        (decimal.Decimal, str, decimal.Decimal),
    ]


def _timedelta(seconds: float) -> Any:
    import datetime as dt

    return dt.timedelta(seconds=seconds)


# -- from JSON -----------------------------------------------------------------------------------


def decoder(hint: Any) -> Decode | None:
    """What makes of a JSON value what the annotation says; None: it is that already."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return decoder(typing.get_args(hint)[0])
    if isinstance(hint, typing.NewType):
        return decoder(hint.__supertype__)
    if isinstance(hint, TypeVar) or origin is Literal:
        return None
    if origin is Union or origin is types.UnionType:
        return _union(typing.get_args(hint))
    if origin is not None:
        return _container(origin, typing.get_args(hint))
    return _of_class(hint) if isinstance(hint, type) else None


def _container(origin: Any, args: tuple[Any, ...]) -> Decode | None:
    if not isinstance(origin, type):
        return None
    if issubclass(origin, tuple) and args and args[-1] is not Ellipsis:
        return _tuple([decoder(arg) for arg in args])
    if issubclass(origin, Mapping):
        return _mapping(*(decoder(arg) for arg in args)) if len(args) == 2 else None
    item = decoder(args[0]) if args else None
    for kind in (tuple, frozenset, set):
        if issubclass(origin, kind):
            return _each(item, kind)
    if issubclass(origin, Sequence) or origin in (list, typing.Iterable):
        return _each(item, list) if item else None
    return None


def _of_class(cls: type) -> Decode | None:
    if cls in _PLAIN or cls in (list, dict, object):
        return None
    if dataclasses.is_dataclass(cls):
        return _fields(cls, {field.name for field in dataclasses.fields(cls) if field.init})
    if typing.is_typeddict(cls):
        return _typed_dict(cls)
    if hasattr(cls, "model_validate"):  # pydantic
        validate: Decode = cls.model_validate
        return validate
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and issubclass(cls, msgspec.Struct):
        return lambda value: msgspec.convert(value, cls)
    if cls in (tuple, set, frozenset):
        return cls
    return _scalar(cls)


def _scalar(cls: type) -> Decode | None:
    import enum

    if issubclass(cls, enum.Enum):
        return cls
    return next((decode for kind, _, decode in _scalars() if issubclass(cls, kind)), None)


def _fields(cls: type, names: set[str]) -> Decode:
    hints = typing.get_type_hints(cls, include_extras=True)
    decoders = _decoders({name: hint for name, hint in hints.items() if name in names})

    def decode(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"{cls.__name__} is an object in JSON")
        return cls(**_decoded(value, decoders))

    return decode


def _typed_dict(cls: type) -> Decode | None:
    decoders = _decoders(typing.get_type_hints(cls))
    return (lambda value: _decoded(value, decoders)) if decoders else None


def _decoders(hints: Mapping[str, Any]) -> dict[str, Decode]:
    return {name: found for name, hint in hints.items() if (found := decoder(hint))}


def _decoded(value: Mapping[str, Any], decoders: Mapping[str, Decode]) -> dict[str, Any]:
    return {
        name: decoders[name](item) if name in decoders else item for name, item in value.items()
    }


def _tuple(decoders: Sequence[Decode | None]) -> Decode:
    def decode(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(decoders):
            raise TypeError(f"a list of {len(decoders)} is wanted")
        pairs = zip(decoders, value, strict=True)
        return tuple(item if decode is None else decode(item) for decode, item in pairs)

    return decode


def _each(item: Decode | None, kind: type) -> Decode:
    def decode(value: Any) -> Any:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError("a list is wanted")
        return kind(value if item is None else [item(each) for each in value])

    return decode


def _values(item: Decode) -> Decode:
    return lambda value: {name: item(each) for name, each in value.items()}


def _mapping(key: Decode | None, item: Decode | None) -> Decode | None:
    if key is None and item is None:
        return None

    def decode(value: Any) -> Any:
        return {
            name if key is None else key(name): each if item is None else item(each)
            for name, each in value.items()
        }

    return decode


def _union(members: tuple[Any, ...]) -> Decode | None:
    decoders = [decoder(member) for member in members]
    if not any(decoders):
        return None

    def decode(value: Any) -> Any:
        if value is None and type(None) in members:
            return None
        failure: Exception | None = None
        for member, how in zip(members, decoders, strict=True):
            if how is None:
                if isinstance(member, type) and isinstance(value, member):
                    return value
                continue
            try:
                return how(value)
            except _FAILURES as error:
                failure = error
        if failure is not None:
            raise failure
        return value

    return decode
