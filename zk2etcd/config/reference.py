"""The annotated reference, `config/zk2etcd.yaml`, written from the models.

From the models, so that a key, its default and what is said of it cannot part. A test checks
that the file in the repository is this text, and that this text parses to exactly the defaults.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pydantic
import pydantic.fields
import yaml

from zk2etcd.config import model_walk, models

_WIDTH = 96
_HEAD = """\
# zk2etcd's configuration: every key with its default (`zk2etcd config default` prints this file).
# What is absent by default stands commented out, with an example.
#
# In brackets: what a change needs. live: a reload (SIGHUP) applies it at once. reconnect: a reload
# applies it, the workers connect anew. restart: a reload that changes it is refused.
#
# Durations take units (500ms, 10s, 1h30m), sizes too (512KiB, 1MB). ${NAME} and ${NAME:-default}
# are filled from the environment, $$ is a dollar. Secrets are best kept in the environment or in
# *_file keys, which name files relative to the working directory.
"""
_EXAMPLE_PREFIX = "/dubbo"


def defaults() -> models.Config:
    """The configuration with every default, and one prefix, since there is no default for that."""
    return models.Config.model_validate({"sync": {"prefixes": [_EXAMPLE_PREFIX]}})


def render() -> str:
    """The text of `config/zk2etcd.yaml`."""
    whole = defaults()
    lines = [_HEAD.rstrip()]
    for key in model_walk.keyed(models.Config):
        section = getattr(whole, key)
        lines += ["", *_comment(_doc(type(section)), 0), f"{key}:", *_section(section, 2)]
    return "\n".join(lines) + "\n"


def _section(section: pydantic.BaseModel, indent: int) -> Iterator[str]:
    for name, info in type(section).model_fields.items():
        key, value = info.alias or name, getattr(section, name)
        yield from _comment(_note(type(section), info), indent)
        if isinstance(value, pydantic.BaseModel):
            yield f"{' ' * indent}{key}:"
            yield from _section(value, indent + 2)
        elif name == "prefixes":
            yield f"{' ' * indent}{key}:"
            yield f"{' ' * indent}  - {_EXAMPLE_PREFIX}"
        else:
            yield f"{' ' * indent}{key}: {_flow(value, info)}"
        shape = model_walk.shape(info.annotation)
        if shape.model is not None and not isinstance(value, pydantic.BaseModel):
            yield from _example(key, shape, indent)


def _example(key: str, shape: model_walk.Shape, indent: int) -> Iterator[str]:
    """The keys of a section that is absent by default, commented out."""
    assert shape.model is not None
    margin = " " * indent + "# "
    lead = f"{margin}  - " if shape.items else f"{margin}  "
    if not shape.items:
        yield f"{margin}{key}:"
    for place, (inner, info) in enumerate(model_walk.keyed(shape.model).items()):
        head = lead if place == 0 else margin + (" " * 4 if shape.items else " " * 2)
        note = _note(shape.model, info)
        yield from _wrapped(note, margin + " " * (4 if shape.items else 2) + "# ")
        yield f"{head}{inner}: {_flow(_example_value(info), info)}"


def _example_value(info: pydantic.fields.FieldInfo) -> Any:
    return info.examples[0] if info.examples else info.get_default(call_default_factory=True)


def _note(model: type[pydantic.BaseModel], info: pydantic.fields.FieldInfo) -> str:
    return f"{info.description} [{model_walk.reload_of(model, info)}]"


def _comment(text: str, indent: int) -> list[str]:
    return _wrapped(text, " " * indent + "# ")


def _wrapped(text: str, margin: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )


def _doc(model: type[pydantic.BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


def _flow(value: Any, info: pydantic.fields.FieldInfo) -> str:
    shown = model_walk.shown(value, model_walk.says(info, "unit"))
    text: str = yaml.safe_dump(shown, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
