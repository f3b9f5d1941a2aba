"""A tree of scalars to plain data, with the environment filled in.

The models say what a scalar is meant to be: where only a text fits, a password `0123` out of the
environment stays those four characters, while `count: ${N}` becomes a number. They also say which
are secrets, or name the file of one: an empty one must not quietly mean that none is asked for.
"""

from __future__ import annotations

import collections.abc
import contextlib
from typing import Any

import pydantic

from zk2etcd.config import environment, faults, model_walk, yaml_source

_ANYTHING = model_walk.Shape((), optional=False)


class Reader:
    """One pass over a tree; what cannot be filled becomes None and a fault."""

    def __init__(self, environ: collections.abc.Mapping[str, str]) -> None:
        self.faults: list[faults.Fault] = []
        self._environ = environ

    def data(self, root: yaml_source.Node, model: type[pydantic.BaseModel]) -> Any:
        """Dicts, lists and scalars, as `model.model_validate` takes them."""
        return self._value(root, model_walk.Shape((model,), optional=False, model=model), ())

    def _value(self, node: yaml_source.Node, shape: model_walk.Shape, path: faults.Path) -> Any:
        if isinstance(node, yaml_source.Mapping):
            return self._mapping(node, shape, path)
        if isinstance(node, yaml_source.Sequence):
            inner = model_walk.item_shape(shape) if shape.items else _ANYTHING
            return [
                self._value(item, inner, (*path, place)) for place, item in enumerate(node.items)
            ]
        return self._scalar(node, shape, path)

    def _mapping(
        self, node: yaml_source.Mapping, shape: model_walk.Shape, path: faults.Path
    ) -> dict[str, Any]:
        model = None if shape.items else shape.model
        shapes = model_walk.shapes(model) if model is not None else {}
        result = {}
        for key, item in node.items.items():
            inner = shapes.get(key, _ANYTHING)
            of_file = shapes.get(key.removesuffix("_file"), _ANYTHING).is_secret
            if isinstance(item, yaml_source.Scalar) and of_file:
                self._must_be_given(item, inner, (*path, key))
            value = self._value(item, inner, (*path, key))
            # A section whose keys are all commented out has its defaults.
            if value is not None or inner.optional or not inner.model or inner.items:
                result[key] = value
        return result

    def _must_be_given(
        self, node: yaml_source.Scalar, shape: model_walk.Shape, path: faults.Path
    ) -> None:
        """Of a secret, or the name of its file: `null` and `${NAME:-}` say none, nothing else does.

        A secret in an argument stands in the list of processes, for everybody on the machine.
        """
        if node.plain and node.text and yaml_source.resolved(node.text) is None:
            return
        shown = node.argument and shape.is_secret and node.text
        if shown and not environment.names_its_value(node.text):
            what = (
                "not with --set, which everybody on this machine can read: write ${NAME}, or give"
            )
            self.faults.append(
                faults.Fault(node.mark, path, f"{what} {path[-1]}_file", spoils=True)
            )
            return
        with contextlib.suppress(environment.FillError):  # which is said of every scalar
            text = environment.fill(node.text, self._environ)
            if text.strip() or (not text and environment.may_be_empty(node.text)):
                return
            what = "is empty; give a value, or leave the key out"
            if text != node.text:
                what = "is empty once filled from the environment; set the variable, or write"
                what += " ${NAME:-} if there need be none"
            self.faults.append(faults.Fault(node.mark, path, what, spoils=True))

    def _scalar(self, node: yaml_source.Scalar, shape: model_walk.Shape, path: faults.Path) -> Any:
        try:
            text = environment.fill(node.text, self._environ)
        except environment.FillError as error:
            what = "; ".join(map(str, error.args))
            self.faults.append(faults.Fault(node.mark, path, what, spoils=True))
            return None
        filled = text != node.text
        if shape.is_text and filled:
            return text or (None if shape.optional else "")
        # A flow mapping forces quotes on a reference: they do not make its number a text.
        if not node.plain and not (filled and shape.alternatives):
            return text
        value = yaml_source.resolved(text)
        if shape.is_text and node.argument and value is not None:
            return text
        return value
