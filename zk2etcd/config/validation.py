"""Plain data to models, and what pydantic finds wrong in words for a person.

pydantic's own messages are not passed on: some hold the value, which may be a secret.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any

import pydantic

from zk2etcd.config import faults, fields, model_walk, models

_WHAT = {
    "missing": "is missing; it has no default",
    "string_type": "must be a text; put it in quotes",
    "string_too_short": "is empty; give a value, or leave the key out",
    "too_short": "is empty; give at least one",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
}
_NO_PREFIX = "is missing; name at least one path to mirror, such as prefixes: [/dubbo]"


@dataclasses.dataclass(frozen=True)
class Found:
    """What validation makes of the data: a configuration, or at least one fault."""

    config: models.Config | None
    faults: tuple[tuple[faults.Path, str], ...] = ()


def validate(data: Any) -> Found:
    """The configuration that plain data stands for. Never raises."""
    try:
        return Found(models.Config.model_validate(data, context=fields.AT_EDGE))
    except pydantic.ValidationError as error:
        listed = error.errors(include_url=False, include_input=False)
        # A list without its faulty items may be too short, but that is not what is wrong with it.
        faulty = {tuple(one["loc"][:-depth]) for one in listed for depth in (1, 2)}
        told = [one for one in listed if one["type"] != "too_short" or one["loc"] not in faulty]
        hinted = faults.MOST  # looking for the nearest key takes a millisecond
        return Found(
            None, tuple(_told(dict(one), hint=place < hinted) for place, one in enumerate(told))
        )


def _told(error: dict[str, Any], hint: bool) -> tuple[faults.Path, str]:
    path, kind = tuple(error["loc"]), error["type"]
    context = error.get("ctx", {})
    if kind == "missing" and path in (("sync",), ("sync", "prefixes")):
        return ("sync", "prefixes"), _NO_PREFIX
    if kind == fields.WRONG:
        return path, str(context["what"])
    if kind == "extra_forbidden":
        return path, _unknown(path) if hint else "unknown key"
    if kind == "literal_error":
        return path, f"must be {str(context['expected']).replace(chr(39), '')}"
    if kind in ("greater_than_equal", "less_than_equal"):
        side, bound = next((key, context[key]) for key in ("ge", "le") if key in context)
        words = "at least" if side == "ge" else "at most"
        return path, f"must be {words} {_shown_bound(path, bound)}"
    return path, _WHAT.get(kind, f"is not valid ({kind})")


def _shown_bound(path: faults.Path, bound: float) -> str:
    info = _field(path)
    unit = None if info is None else model_walk.says(info, "unit")
    return f"{bound:g}" if unit is None else str(model_walk.shown(bound, unit))


def _field(path: faults.Path) -> Any:
    model = _model(path[:-1])
    return None if model is None else model_walk.keyed(model).get(str(path[-1]))


def _model(path: faults.Path) -> type[pydantic.BaseModel] | None:
    """The model that the data at `path` belongs to."""
    model: type[pydantic.BaseModel] | None = models.Config
    for part in path:
        if isinstance(part, int):
            continue
        info = model_walk.keyed(model).get(part) if model else None
        model = model_walk.shape(info.annotation).model if info else None
    return model


def _unknown(path: faults.Path) -> str:
    """What to say of an unknown key: the nearest one here, else where it is known elsewhere."""
    key = str(path[-1])
    model = _model(path[:-1])
    here = list(model_walk.keyed(model)) if model else []
    if near := difflib.get_close_matches(key.lower(), here, 1, 0.6):
        return f"unknown key; did you mean {near[0]}?"
    if elsewhere := _elsewhere(key):
        return f"unknown key; did you mean {elsewhere}?"
    return f"unknown key; known here are {', '.join(here)}"


def _elsewhere(key: str) -> str | None:
    known = {dotted.rpartition(".")[2]: dotted for dotted in reversed(list(_every_key()))}
    near = difflib.get_close_matches(key.lower(), list(known), 1, 0.8)
    return known[near[0]] if near else None


def _every_key(model: type[pydantic.BaseModel] = models.Config, above: str = "") -> Iterator[str]:
    """Every dotted key, the outer ones first; lists of sections are not entered."""
    inner = []
    for key, info in model_walk.keyed(model).items():
        yield above + key
        shape = model_walk.shape(info.annotation)
        if shape.model is not None and not shape.items:
            inner.append((shape.model, f"{above}{key}."))
    for deeper, prefix in inner:
        yield from _every_key(deeper, prefix)
