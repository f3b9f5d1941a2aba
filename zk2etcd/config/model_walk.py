"""Walks over any configuration model, driven by what its fields say of themselves."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pydantic
import pydantic.fields

from zk2etcd.config import units

ReloadClass = Literal["live", "reconnect", "restart"]
REDACTED = "<redacted>"


@dataclasses.dataclass(frozen=True)
class Change:
    """One key that differs between two configurations."""

    key: str
    reload: ReloadClass


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a field takes: the alternatives of its annotation, None apart from the others.

    `model` is the model among them, also that of a list's items; `items` tells the two apart.
    """

    alternatives: tuple[Any, ...]
    optional: bool
    model: type[pydantic.BaseModel] | None = None
    items: bool = False

    @property
    def is_text(self) -> bool:
        """True if only texts fit, so that `123` must stay one."""
        return bool(self.alternatives) and all(
            part in (str, pydantic.SecretStr) for part in self.alternatives
        )

    @property
    def is_secret(self) -> bool:
        return pydantic.SecretStr in self.alternatives


@functools.cache
def keyed(model: type[pydantic.BaseModel]) -> Mapping[str, pydantic.fields.FieldInfo]:
    """The fields by the key that stands in a file (`from`, not `from_`)."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


@functools.cache
def shapes(model: type[pydantic.BaseModel]) -> Mapping[str, Shape]:
    """The shapes of its fields, by the same keys: once, and not for each of a thousand prefixes."""
    return {key: shape(info.annotation) for key, info in keyed(model).items()}


def says(info: pydantic.fields.FieldInfo, what: str) -> Any:
    """One entry of a field's json_schema_extra, None if it has none."""
    extra = info.json_schema_extra
    return extra.get(what) if isinstance(extra, dict) else None


def reload_of(model: type[pydantic.BaseModel], info: pydantic.fields.FieldInfo) -> ReloadClass:
    """What a change of this field of the model needs."""
    found: ReloadClass = says(info, "reload") or getattr(model, "RELOAD", "restart")
    return found


def shape(annotation: Any) -> Shape:
    """The shape of a field's annotation, `Annotated` taken away."""
    parts = tuple(_alternatives(annotation))
    some = tuple(part for part in parts if part is not type(None))
    optional = len(some) < len(parts)
    if len(some) == 1 and typing.get_origin(some[0]) is tuple:
        inner = shape(typing.get_args(some[0])[0])
        return Shape(some, optional, inner.model, items=True)
    models = [part for part in some if _is_model(part)]
    return Shape(some, optional, models[0] if models else None)


def item_shape(outer: Shape) -> Shape:
    """The shape of a list's items."""
    return shape(typing.get_args(outer.alternatives[0])[0])


def plain(model: pydantic.BaseModel) -> dict[str, Any]:
    """A model as data for JSON or YAML: units as text, secrets redacted.

    A secret that came from a file stays null, so that the result names one source for it.
    """
    named = model.__class__.model_fields
    result = {}
    for name, info in named.items():
        value = getattr(model, name)
        if isinstance(value, pydantic.SecretStr) and getattr(model, f"{name}_file", None):
            value = None
        result[info.alias or name] = shown(value, says(info, "unit"))
    return result


def shown(value: Any, unit: str | None = None) -> Any:
    """One value as data; `unit` is "duration", "size" or None."""
    if isinstance(value, pydantic.BaseModel):
        return plain(value)
    if isinstance(value, pydantic.SecretStr):
        return REDACTED
    if isinstance(value, tuple):
        return [shown(item) for item in value]
    if value is not None and unit == "duration":
        return units.show_duration(value)
    if value is not None and unit == "size":
        return units.show_size(value)
    return value


def changes(
    old: pydantic.BaseModel, new: pydantic.BaseModel, path: tuple[str, ...] = ()
) -> Iterator[Change]:
    """The keys that differ, sections entered where both sides have one."""
    for name, info in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        here = (*path, info.alias or name)
        inner = []
        if isinstance(before, pydantic.BaseModel) and type(before) is type(after):
            inner = list(changes(before, after, here))
        # None below differs when only the content of files does: the section itself changed.
        yield from inner or [Change(".".join(here), reload_of(type(new), info))]


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _alternatives(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, pydantic.BaseModel)
