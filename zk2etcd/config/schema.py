"""The JSON schema of the configuration, from the models: editors complete and check from it.

Name it in a file's first line: `# yaml-language-server: $schema=.../schema.json`.
"""

from __future__ import annotations

import json
from typing import Any

import pydantic

from zk2etcd.config import model_walk, models

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILLED = {"type": "string", "pattern": r"\$\{"}


def schema() -> dict[str, Any]:
    """The schema as plain data; defaults are written as a file writes them."""
    whole = models.Config.model_json_schema(by_alias=True)
    whole["title"] = "zk2etcd configuration"
    _polish(models.Config, whole, whole["$defs"], set())
    return {"$schema": _DIALECT, **whole}


def render() -> str:
    """The text of `config/schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _polish(
    model: type[pydantic.BaseModel], shape: dict[str, Any], defs: dict[str, Any], done: set[str]
) -> None:
    """Defaults with their units; and `${NAME}` wherever a number or a choice may stand."""
    done.add(model.__name__)
    for key, info in model_walk.keyed(model).items():
        entry = shape["properties"][key]
        if model is not models.Config:
            entry["reload"] = model_walk.reload_of(model, info)
        inner = model_walk.shape(info.annotation)
        if inner.model is not None:
            if not inner.items and not inner.optional:
                entry.pop("default", None)
            if inner.model.__name__ not in done:
                _polish(inner.model, defs[inner.model.__name__], defs, done)
        elif not info.is_required():
            entry["default"] = model_walk.shown(info.default, model_walk.says(info, "unit"))
        if inner.model is None and not inner.items and not inner.is_text:
            _allow_filled(entry)


def _allow_filled(entry: dict[str, Any]) -> None:
    keywords = ("type", "enum", "const", "minimum", "maximum", "pattern", "anyOf")
    strict = {word: entry.pop(word) for word in keywords if word in entry}
    alternatives = strict["anyOf"] if set(strict) == {"anyOf"} else [strict]
    entry["anyOf"] = [*alternatives, _FILLED]
