"""UmaDB's messages and calls, made from `umadb.proto` when they are first used.

Generated code is bound to one generation of the protobuf library, and the drivers of other stores
decide which one is installed. So the file is read here: it has messages without nesting, scalars,
one package and one service.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.domain.errors import MissingExtra

FILE = Path(__file__).with_name("umadb.proto")
_COMMENT = re.compile(r"//.*")
_PACKAGE = re.compile(r"^package ([\w.]+);", re.M)
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^ +(?:(optional|repeated) )?(\w+) (\w+) = (\d+);", re.M)
_CALL = re.compile(r"rpc (\w+)\(\w+\) returns \((stream )?(\w+)\);")


@cache
def messages() -> SimpleNamespace:
    """The classes of all messages, by name. Raises `MissingExtra` without the protobuf library."""
    file = described()
    pool = _protobuf(
        "descriptor_pool"
    ).DescriptorPool()  # its own: another client may know the same names
    pool.Add(file)
    names = [message.name for message in file.message_type]
    find = pool.FindMessageTypeByName
    made = _protobuf("message_factory").GetMessageClass
    classes = {name: made(find(f"{file.package}.{name}")) for name in names}
    return SimpleNamespace(**classes)


class Stub:
    """The service's calls over a channel, by name; they take serialized requests."""

    def __init__(self, channel: Any) -> None:
        known = vars(messages())
        self._calls: dict[str, Any] = {}
        for name, streams, response in _CALL.findall(_text()):
            kind = channel.unary_stream if streams else channel.unary_unary
            parse = known[response].FromString
            self._calls[name] = kind(path(name), response_deserializer=parse)

    def __getattr__(self, name: str) -> Any:
        return self._calls[name]


def path(name: str) -> str:
    """A call's path on the wire."""
    return f"/{_package()}.DCB/{name}"


def described() -> Any:
    """The file's messages, as the protobuf library describes a file."""
    file = _protobuf("descriptor_pb2").FileDescriptorProto(
        name=FILE.name, package=_package(), syntax="proto3"
    )
    for name, body in _MESSAGE.findall(_text()):
        _describe(file.message_type.add(name=name), body)
    return file


def _describe(message: Any, body: str) -> None:
    kinds = _protobuf("descriptor_pb2").FieldDescriptorProto
    for label, kind, name, number in _FIELD.findall(body):
        field = message.field.add(name=name, number=int(number), label=kinds.LABEL_OPTIONAL)
        if label == "repeated":
            field.label = kinds.LABEL_REPEATED
        scalar = getattr(kinds, f"TYPE_{kind.upper()}", None)
        field.type = kinds.TYPE_MESSAGE if scalar is None else scalar
        if scalar is None:
            field.type_name = f".{_package()}.{kind}"
        if label == "optional":
            field.proto3_optional = True
    # An optional field is the one field of a group of its own, by which its presence is known.
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


def _protobuf(module: str) -> Any:
    """A module of the protobuf library."""
    try:
        return importlib.import_module(f"google.protobuf.{module}")
    except ModuleNotFoundError:
        raise MissingExtra(
            "the driver protobuf is not installed; pip install 'eventstore-lab[umadb]'"
        ) from None


@cache
def _text() -> str:
    return _COMMENT.sub("", FILE.read_text(encoding="utf-8"))


@cache
def _package() -> str:
    (package,) = _PACKAGE.findall(_text())
    return str(package)
