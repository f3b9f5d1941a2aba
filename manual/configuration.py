"""The keys of the configuration, for docs/configuration.md."""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import annotated_types
import pydantic
import pydantic.fields
import yaml

from zk2etcd.config import fields, mirroring, model_walk, models

_WIDTH = 100
_EXAMPLE_PREFIXES = ["/dubbo", {"from": "/services", "to": "/mirror/services"}]


class _Indented(yaml.SafeDumper):
    """Lists further in than their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def render() -> str:
    """All sections: an example, then each key."""
    sections = model_walk.keyed(models.Config)
    return "\n".join(line for key in sections for line in _section(key, sections[key]))


def example(key: str) -> str:
    """One section as a file might have it, every key given but those that name a secret's file."""
    section = model_walk.shape(model_walk.keyed(models.Config)[key].annotation).model
    assert section is not None
    text: str = yaml.dump({key: _values(section)}, Dumper=_Indented, sort_keys=False, width=_WIDTH)
    return text


def _section(key: str, info: pydantic.fields.FieldInfo) -> Iterator[str]:
    model = model_walk.shape(info.annotation).model
    assert model is not None
    yield from (f"## {key}", "", *_paragraph(_doc(model)))
    yield from ("```yaml", *example(key).splitlines(), "```", "")
    yield from _keys(model, key)


def _keys(model: type[pydantic.BaseModel], above: str) -> Iterator[str]:
    for key, info in model_walk.keyed(model).items():
        shape = model_walk.shape(info.annotation)
        path = f"{above}.{key}" + ("[]" if shape.items and shape.model else "")
        yield from (f"### `{path}`", "", _facts(model, info, shape), "")
        yield from _paragraph(_sentences(info, shape))
        if shape.model is not None:
            yield from _keys(shape.model, path)


def _sentences(info: pydantic.fields.FieldInfo, shape: model_walk.Shape) -> str:
    own = f" {_doc(shape.model)}" if shape.model is not None else ""
    return f"{info.description}{own}"


def _facts(
    model: type[pydantic.BaseModel], info: pydantic.fields.FieldInfo, shape: model_walk.Shape
) -> str:
    parts = [_takes(info, shape), *_bounds(info), _default(info, shape)]
    return f"{', '.join(filter(None, parts))}; *{model_walk.reload_of(model, info)}*"


def _takes(info: pydantic.fields.FieldInfo, shape: model_walk.Shape) -> str:
    what = _kind(info.annotation, info.metadata)
    if shape.model is not None:
        what = "list of mappings" if shape.items else "mapping"
        what += " or paths" if shape.model is mirroring.Prefix else ""
    elif shape.items and not what.startswith("list"):
        what = f"list of {what}s"
    elif typing.get_origin(shape.alternatives[0]) is typing.Literal:
        what = ", ".join(f"`{choice}`" for choice in typing.get_args(shape.alternatives[0]))
    return f"{what} or `null`" if shape.optional else what


def _kind(annotation: Any, metadata: Any = ()) -> str:
    """What `fields.Takes` says, the outermost of several; looks into unions and lists."""
    said = [part.what for part in metadata if isinstance(part, fields.Takes)]
    if said:
        return str(said[-1])
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _kind(inner[0], inner[1:])
    looks_inside = typing.get_origin(annotation) in (tuple, typing.Union, types.UnionType)
    return next(filter(None, map(_kind, inner)), "") if looks_inside else ""


def _bounds(info: pydantic.fields.FieldInfo) -> Iterator[str]:
    unit = model_walk.says(info, "unit")
    lowest = highest = None
    for part in info.metadata:
        lowest = part.ge if isinstance(part, annotated_types.Ge) else lowest
        highest = part.le if isinstance(part, annotated_types.Le) else highest
    if lowest is not None and highest is not None:
        yield f"{model_walk.shown(lowest, unit)} to {model_walk.shown(highest, unit)}"
    elif lowest is not None:
        yield f"at least {model_walk.shown(lowest, unit)}"
    elif highest is not None:
        yield f"at most {model_walk.shown(highest, unit)}"


def _default(info: pydantic.fields.FieldInfo, shape: model_walk.Shape) -> str:
    if info.is_required():
        return "required"
    if shape.model is not None and not shape.items and not shape.optional:
        return ""
    value = model_walk.shown(info.default, model_walk.says(info, "unit"))
    text = f"[{', '.join(value)}]" if isinstance(value, list) else _flow(value)
    return f"default `{text}`"


def _values(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    known = model_walk.keyed(model)
    return {
        key: _value(info) for key, info in known.items() if key.removesuffix("_file") not in known
        or not key.endswith("_file")
    }  # fmt: skip


def _value(info: pydantic.fields.FieldInfo) -> Any:
    shape = model_walk.shape(info.annotation)
    if shape.model is mirroring.Prefix:
        return _EXAMPLE_PREFIXES
    if shape.model is not None:
        return [_values(shape.model)] if shape.items else _values(shape.model)
    if info.examples:
        return info.examples[0]
    return model_walk.shown(info.default, model_walk.says(info, "unit"))


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def _doc(model: type[pydantic.BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(text, _WIDTH, break_on_hyphens=False, break_long_words=False), ""]
