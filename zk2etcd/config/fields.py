"""The types of the configuration's fields: they turn what a file holds into plain values.

A message never repeats the value that it refuses: a secret may stand in the wrong place. Where a
number stands for a duration, Python code may give seconds; a file must write the unit (`AT_EDGE`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import pydantic
import pydantic_core

from zk2etcd.config import addresses, units

AT_EDGE = {"edge": True}
"""The validation context of what a person wrote: durations need their units."""

WRONG = "wrong"
"""The type of the errors raised here, whose message is meant for a person as it is."""

RESTART: dict[str, Any] = {"reload": "restart"}
DURATION: dict[str, Any] = {"unit": "duration"}
SIZE: dict[str, Any] = {"unit": "size"}

_HEADER_SAFE = re.compile("[\x21-\x7e]+")


class Model(pydantic.BaseModel):
    """A section: frozen, and without a key that nobody knows. `RELOAD` is what a change of its keys
    needs (`model_walk.ReloadClass`), but for those that say otherwise."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )
    RELOAD: ClassVar[str] = "restart"


class Live(Model):
    RELOAD = "live"


class Reconnect(Model):
    RELOAD = "reconnect"


def wrong(what: str) -> pydantic_core.PydanticCustomError:
    """An error of a validator: `what` is wrong and what to write instead, without the value."""
    return pydantic_core.PydanticCustomError(WRONG, "{what}", {"what": what})


def _told(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A validator of texts: what `parse` raises becomes the message."""

    def validator(value: Any) -> Any:
        if not isinstance(value, str):
            raise wrong("must be a text; put it in quotes")
        try:
            return parse(value)
        except ValueError as error:
            raise wrong(str(error)) from None

    return validator


def _seconds(value: Any, info: pydantic.ValidationInfo) -> float:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return units.parse_duration(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if value == 0 or info.context != AT_EDGE:
            return float(value)
        raise wrong("has no unit; write it as a duration such as 500ms, 10s or 1h30m")
    raise wrong("must be a duration with a unit, such as 500ms, 10s or 1h30m")


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return units.parse_size(value)
    raise wrong("must be a size, such as 512KiB, 1MiB or a number of bytes")


def _worker_count(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 64:
        raise wrong("must be auto or a whole number from 1 to 64")
    return value


def _capacity(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise wrong("must be auto or a whole number from 1 to 1024")
    return value


def _comma_separated(value: Any) -> Any:
    """Takes `a,b` for `[a, b]`: how an environment variable holds a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value


def _prefix_mapping(value: Any) -> Any:
    """Takes `/dubbo` for `{from: /dubbo, to: /dubbo}`."""
    if isinstance(value, str):
        return {"from": value, "to": value}
    if isinstance(value, (dict, pydantic.BaseModel)):
        return value
    raise wrong("must be a path, or a mapping with `from` and `to`")


def _whole_seconds(value: float) -> float:
    if value != int(value):
        raise wrong("must be whole seconds, since etcd counts leases in seconds")
    return value


def _interval(value: float) -> float:
    if 0 < value < 0.1:
        raise wrong("must be 0 or at least 100ms")
    return value


def _source(text: str) -> str:
    if addresses.is_below(addresses.path(text), "/zookeeper"):
        raise ValueError("is ZooKeeper's own subtree, which is never mirrored; leave it out")
    return text


def _token(value: pydantic.SecretStr | None) -> pydantic.SecretStr | None:
    if value is not None and not _HEADER_SAFE.fullmatch(value.get_secret_value()):
        raise wrong("must be printable ASCII without spaces, since it travels in an HTTP header")
    return value


@dataclasses.dataclass(frozen=True)
class AlsoText:
    """In the JSON schema only: a text that matches `pattern` is taken as well."""

    pattern: str

    def __get_pydantic_json_schema__(
        self, core: pydantic_core.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": "string", "pattern": self.pattern}]}


@dataclasses.dataclass(frozen=True)
class Takes:
    """What a field takes, in a few words for the reference; bounds are said beside it."""

    what: str


def _text_schema(pattern: str, zero: bool = False) -> pydantic.WithJsonSchema:
    text: dict[str, Any] = {"type": "string", "pattern": pattern}
    return pydantic.WithJsonSchema({"anyOf": [text, {"const": 0}]} if zero else text)


Seconds = Annotated[
    float,
    pydantic.BeforeValidator(_seconds),
    _text_schema(units.DURATION_PATTERN, zero=True),
    Takes("duration"),
]
IntervalSeconds = Annotated[
    Seconds, pydantic.AfterValidator(_interval), Takes("duration, 0 or at least 100ms")
]
LeaseSeconds = Annotated[
    Seconds, pydantic.AfterValidator(_whole_seconds), Takes("duration in whole seconds")
]
Size = Annotated[
    int,
    pydantic.BeforeValidator(_size),
    pydantic.WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": units.SIZE_PATTERN}, {"type": "integer"}]}
    ),
    Takes("size"),
]
Count = Annotated[int, pydantic.Strict(), Takes("whole number")]
Flag = Annotated[bool, pydantic.Strict(), Takes("true or false")]
Ratio = Annotated[float, pydantic.Strict(), pydantic.Field(ge=0, le=1), Takes("number")]
WorkerCount = Annotated[
    int | Literal["auto"],
    pydantic.BeforeValidator(_worker_count),
    Takes("auto, or a whole number from 1 to 64"),
]
Capacity = Annotated[
    int | Literal["auto"],
    pydantic.BeforeValidator(_capacity),
    Takes("auto, or a whole number from 1 to 1024"),
]
Text = Annotated[str, pydantic.Field(min_length=1), Takes("text")]
MemberName = Annotated[
    str,
    pydantic.BeforeValidator(_told(addresses.member_name)),
    Takes("letters, digits, dots, dashes and underscores, at most 63"),
]
Secret = Annotated[pydantic.SecretStr, pydantic.Field(min_length=1), Takes("text (secret)")]
Token = Annotated[
    Secret, pydantic.AfterValidator(_token), Takes("printable ASCII without spaces (secret)")
]
Path = Annotated[
    str, pydantic.BeforeValidator(_told(addresses.path)), _text_schema("^/"), Takes("path")
]
Pattern = Annotated[
    str, pydantic.BeforeValidator(_told(addresses.pattern)), _text_schema("^/"), Takes("pattern")
]
SourcePath = Annotated[
    str, pydantic.BeforeValidator(_told(_source)), _text_schema("^/"), Takes("path")
]
StatePrefix = Annotated[
    str, pydantic.BeforeValidator(_told(addresses.state_prefix)), Takes("key without leading slash")
]
Listen = Annotated[str, pydantic.BeforeValidator(_told(addresses.listen)), Takes("host:port")]
Advertised = Annotated[
    str,
    pydantic.BeforeValidator(_told(addresses.advertised)),
    Takes("host, host:port, or either behind http:// or https://"),
]
ClusterId = Annotated[
    str, pydantic.BeforeValidator(_told(addresses.cluster_id)), Takes("hexadecimal")
]
Hosts = Annotated[
    tuple[Annotated[str, pydantic.BeforeValidator(_told(addresses.zookeeper_host))], ...],
    pydantic.Field(min_length=1),
    pydantic.BeforeValidator(_comma_separated),
    AlsoText("."),
    Takes("list of host:port"),
]
Endpoints = Annotated[
    tuple[Annotated[str, pydantic.BeforeValidator(_told(addresses.endpoint))], ...],
    pydantic.Field(min_length=1),
    pydantic.BeforeValidator(_comma_separated),
    AlsoText("."),
    Takes("list of URLs"),
]
SHORT_PREFIX = (pydantic.BeforeValidator(_prefix_mapping), AlsoText("^/"))
