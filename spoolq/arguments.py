"""Arguments: what a function is called with, as JSON, and back again by its annotations.

A spool holds JSON and nothing else: a pickle in a shared directory would be a way to run code. So
the types that programs use most have one form in JSON each, and what a parameter is annotated with
says how it is read back:

    dataclass, TypedDict, pydantic and msgspec models    an object of its fields
    Enum                                                 its value
    datetime, date, time, UUID, Path, Decimal            a string
    timedelta                                            seconds
    tuple, NamedTuple, set, frozenset                    a list

Of a union the first member that fits counts. Without an annotation, and with one that cannot be
looked up from the function's module, a task gets what JSON says. A result goes the same way, by the
annotation of what the function returns.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypeVar, Union

from spoolq.errors import InvalidType, InvalidValue

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
        self._result: Decode | None = None

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """The arguments of a call as JSON. Raises InvalidType when the function does not take them:
        at the call, where the mistake is, and not at the worker."""
        if not self._fits(args, kwargs):
            self._bind(args, kwargs)
        try:
            return [to_json(value) for value in args], {
                name: to_json(value) for name, value in kwargs.items()
            }
        except RecursionError:
            raise InvalidValue(
                f"task {self._task!r}: an argument has no end, or is too deep"
            ) from None

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

    def decode_result(self, value: Any) -> Any:
        """What the function has returned, from JSON. Raises InvalidType; None is None: so ends who
        has called `finish`."""
        if self._decoders is None:
            self._decoders = self._make_decoders()
        if value is None or self._result is None:
            return value
        try:
            return self._result(value)
        except _FAILURES as error:
            raise InvalidType(
                f"task {self._task!r}: its result is {value!r:.80}: {error}; "
                "`job.info().result` has it as it is stored"
            ) from error

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument of a call by its name, those with defaults too. Raises InvalidType."""
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def canonical(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """A call as JSON, the same whether by position or by name, and with a default or without
        it. Raises InvalidType."""
        bound = self._bind(args, kwargs)
        parameters = self._known_signature().parameters
        positional, named = list(bound.args), dict(bound.kwargs)
        names = [name for name in bound.arguments if parameters[name].kind in _POSITIONAL[:2]]
        if len(names) == len(positional):
            while names and _same(parameters[names[-1]], positional[-1]):
                del names[-1], positional[-1]
        named = {
            name: value
            for name, value in named.items()
            if name not in parameters or not _same(parameters[name], value)
        }
        return [to_json(each) for each in positional], {
            name: to_json(value) for name, value in named.items()
        }

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
        hints = _hints_of(self._fn)
        self._result = decoder(hints.get("return", Any))
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


def _same(parameter: inspect.Parameter, value: Any) -> bool:
    """Whether a value is what the parameter has by default."""
    default = parameter.default
    return default is not parameter.empty and type(value) is type(default) and value == default


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
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, set | frozenset):
        # In the same order in every process: a job that is unique by its arguments needs it.
        return sorted(map(to_json, value), key=lambda form: (str(type(form)), str(form)))
    if isinstance(value, dict):
        return {to_json(key): to_json(item) for key, item in value.items()}
    return _special(value)


def _special(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_json(getattr(value, field.name)) for field in fields}
    if hasattr(type(value), "model_dump"):  # pydantic
        return value.model_dump(mode="json", round_trip=True)
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    for kind, encode, _ in _scalars():
        if isinstance(value, kind):
            return encode(value)
    return value


def _scalars() -> list[tuple[type, Callable[[Any], Any], Decode | None]]:
    """(type, to JSON, from JSON; None: its class); a subclass before what it is derived from."""
    # Looked up here: most programs have imported few of them, and a spool needs none.
    import datetime as dt
    import decimal
    import enum
    import pathlib
    import uuid

    return [
        (enum.Enum, lambda value: to_json(value.value), None),
        (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
        (dt.date, dt.date.isoformat, dt.date.fromisoformat),
        (dt.time, dt.time.isoformat, dt.time.fromisoformat),
        (dt.timedelta, dt.timedelta.total_seconds, _timedelta),
        (uuid.UUID, str, uuid.UUID),
        (pathlib.PurePath, str, None),
        (decimal.Decimal, str, decimal.Decimal),
    ]


def _timedelta(seconds: float) -> Any:
    import datetime as dt

    return dt.timedelta(seconds=seconds)


# -- from JSON -----------------------------------------------------------------------------------


def decoder(hint: Any) -> Decode | None:
    """What makes of a JSON value what the annotation says; None: it is that already."""
    if hint is Any:  # to Python a class
        return None
    if type(hint).__name__ == "TypeAliasType":  # `type Paths = list[Path]`, from Python 3.12 on
        return decoder(hint.__value__)
    origin = typing.get_origin(hint)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return decoder(typing.get_args(hint)[0])
    if isinstance(hint, typing.NewType):
        return decoder(hint.__supertype__)
    if isinstance(hint, TypeVar):
        return None
    if origin is Literal:
        return _literal(typing.get_args(hint))
    if origin is Union or origin is types.UnionType:
        return _union(typing.get_args(hint))
    if origin is not None:
        return _container(origin, typing.get_args(hint)) or _of_generic(hint, origin)
    return _of_class(hint) if isinstance(hint, type) else None


def _literal(values: tuple[Any, ...]) -> Decode | None:
    """Members of an Enum are stored as their values; anything else is itself."""
    forms = [(to_json(value), value) for value in values]
    if all(form is value for form, value in forms):
        return None

    def decode(value: Any) -> Any:
        for form, meant in forms:
            if form == value:
                return meant
        raise ValueError(f"it is none of {', '.join(str(form) for form, _ in forms)}")

    return decode


def _container(origin: Any, args: tuple[Any, ...]) -> Decode | None:
    if not isinstance(origin, type):
        return None
    if issubclass(origin, tuple) and args and args[-1] is not Ellipsis:
        return _tuple([decoder(arg) for arg in args])
    if issubclass(origin, Mapping):
        return _mapping(*(decoder(arg) for arg in args)) if len(args) == 2 else None
    item = decoder(args[0]) if args else None
    for kind, made in ((tuple, tuple), (frozenset, frozenset), (AbstractSet, set)):
        if issubclass(origin, kind):
            return _each(item, made)
    if issubclass(origin, Sequence) or origin in (Iterable, Collection):
        return _each(item, list) if item else None
    return None


def _of_generic(hint: Any, origin: Any) -> Decode | None:
    """A class of one's own with arguments: `Page[Address]`."""
    if not isinstance(origin, type):
        return None
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and issubclass(origin, msgspec.Struct):
        return lambda value: msgspec.convert(value, hint)
    variables = getattr(origin, "__parameters__", ())
    return _of_fields(origin, dict(zip(variables, typing.get_args(hint), strict=False)))


@functools.lru_cache(maxsize=256)
def _of_class(cls: type) -> Decode | None:
    if cls in _PLAIN or cls in (list, dict, object):
        return None
    of_fields = _of_fields(cls, {})
    if of_fields is not None:
        return of_fields
    if hasattr(cls, "model_validate"):  # pydantic
        return _model(cls)
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and issubclass(cls, msgspec.Struct):
        return lambda value: msgspec.convert(value, cls)
    if cls in (tuple, set, frozenset):
        return cls
    return _scalar(cls)


def _scalar(cls: type) -> Decode | None:
    for kind, _, decode in _scalars():
        if issubclass(cls, kind):
            return decode or cls
    return None


def _model(cls: Any) -> Decode:
    # It is stored by the names of its fields, and a program of another language may have written
    # their aliases. Before pydantic 2.11 one could not say that both will do.
    both = {"by_alias": True, "by_name": True}
    known = inspect.signature(cls.model_validate).parameters.keys() >= both.keys()
    return functools.partial(cls.model_validate, **both) if known else cls.model_validate


def _of_fields(cls: Any, variables: Mapping[Any, Any]) -> Decode | None:
    """A dataclass, a TypedDict or a NamedTuple; `variables` are the TypeVars of a generic one."""
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
        left_out = {field.name for field in dataclasses.fields(cls) if not field.init}
    elif typing.is_typeddict(cls):
        names, left_out = [], set()
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple(cls, variables)
    else:
        return None
    decoders: dict[str, Decode] | None = None

    def decode(value: Any) -> Any:
        nonlocal decoders
        if not isinstance(value, Mapping):
            raise TypeError(f"{cls.__name__} is an object in JSON")
        if decoders is None:  # not before it is needed: a tree has nodes that are trees
            decoders = _decoders(cls, variables)
        # What a dataclass finds out for itself is stored for readers, and found out again.
        found = {
            name: decoders[name](item) if name in decoders else item
            for name, item in value.items()
            if name not in left_out
        }
        return cls(**found) if names else found

    return decode


def _named_tuple(cls: Any, variables: Mapping[Any, Any]) -> Decode:
    decoders: dict[str, Decode] | None = None

    def decode(value: Any) -> Any:
        nonlocal decoders
        if not isinstance(value, list) or len(value) > len(cls._fields):
            raise TypeError(f"{cls.__name__} is a list of {len(cls._fields)} in JSON")
        if decoders is None:
            decoders = _decoders(cls, variables)
        pairs = zip(cls._fields, value, strict=False)
        return cls(*(decoders[name](item) if name in decoders else item for name, item in pairs))

    return decode


def _decoders(cls: Any, variables: Mapping[Any, Any]) -> dict[str, Decode]:
    hints = {name: _bound(hint, variables) for name, hint in _hints_of(cls).items()}
    return {name: found for name, hint in hints.items() if (found := decoder(hint))}


def _bound(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """The annotation, with what its TypeVars stand for."""
    if isinstance(hint, TypeVar):
        return variables.get(hint, Any)
    wanted = () if isinstance(hint, type) else getattr(hint, "__parameters__", ())
    return hint[tuple(variables.get(each, Any) for each in wanted)] if wanted else hint


def _hints_of(owner: Any) -> dict[str, Any]:
    """The annotations of a function or a class, without those that only a type checker knows."""
    while isinstance(owner, functools.partial):
        owner = owner.func
    if not (inspect.isroutine(owner) or isinstance(owner, type)):
        owner = type(owner).__call__
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except Exception:  # noqa: BLE001  # an annotation can be any expression
        return _hints_one_by_one(owner)


def _hints_one_by_one(owner: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in reversed(owner.__mro__) if isinstance(owner, type) else (inspect.unwrap(owner),):
        module = sys.modules.get(getattr(each, "__module__", None) or "")
        names = getattr(each, "__globals__", None) or (vars(module) if module else {})
        for name, hint in inspect.get_annotations(each).items():
            holder = types.SimpleNamespace(__annotations__={name: hint})
            try:
                found |= typing.get_type_hints(holder, names, include_extras=True)
            except Exception:  # noqa: BLE001, S112  # as above
                continue
    return found


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
        if not isinstance(value, Mapping):
            raise TypeError("an object is wanted")
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
                if _is_one(value, member):
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


def _is_one(value: Any, hint: Any) -> bool:
    """Whether a JSON value is what an annotation says that needs no decoding."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    kind = origin or hint
    if kind is Any or isinstance(kind, TypeVar):
        return True
    if not isinstance(kind, type):
        return False
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if issubclass(kind, Mapping):
        return isinstance(value, dict)
    if issubclass(kind, Sequence) and kind is not str:
        return isinstance(value, list)
    return kind in type(value).__mro__
