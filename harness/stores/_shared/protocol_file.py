"""A gRPC protocol's messages and calls, made from a file that describes it when first used.

Generated code is bound to one generation of the protobuf library, and the drivers of other stores
decide which one is installed. So files are read here: they have messages without nesting, scalars,
one package and one service.
"""

from __future__ import annotations

import importlib
import re
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.domain.errors import MissingExtra

_COMMENT = re.compile(r"//.*")
_PACKAGE = re.compile(r"^package ([\w.]+);", re.M)
_SERVICE = re.compile(r"^service (\w+) \{", re.M)
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^ +(?:(optional|repeated) )?(\w+) (\w+) = (\d+);", re.M)
_CALL = re.compile(r"rpc (\w+)\(\w+\) returns \((stream )?(\w+)\);")


class ProtocolFile:
    """A file, and `extra`, which brings the protobuf library."""

    def __init__(self, file: Path, extra: str) -> None:
        self.file, self._extra = file, extra

    @cached_property
    def messages(self) -> SimpleNamespace:
        """The classes of all messages, by name. Raises `MissingExtra` without the library."""
        file = self.described()
        # A pool of its own: another client may know the same names.
        pool = self._protobuf("descriptor_pool").DescriptorPool()
        pool.Add(file)
        made = self._protobuf("message_factory").GetMessageClass
        find = pool.FindMessageTypeByName
        names = [message.name for message in file.message_type]
        return SimpleNamespace(**{name: made(find(f"{file.package}.{name}")) for name in names})

    def path(self, name: str) -> str:
        """A call's path on the wire."""
        (service,) = _SERVICE.findall(self._text)
        return f"/{self._package}.{service}/{name}"

    def stub(self, channel: Any) -> SimpleNamespace:
        """The service's calls over a channel, by name; they take serialized requests."""
        calls = {}
        for name, streams, response in _CALL.findall(self._text):
            kind = channel.unary_stream if streams else channel.unary_unary
            parse = vars(self.messages)[response].FromString
            calls[name] = kind(self.path(name), response_deserializer=parse)
        return SimpleNamespace(**calls)

    def described(self) -> Any:
        """The file's messages, as the protobuf library describes a file."""
        file = self._protobuf("descriptor_pb2").FileDescriptorProto(
            name=self.file.name, package=self._package, syntax="proto3"
        )
        for name, body in _MESSAGE.findall(self._text):
            self._describe(file.message_type.add(name=name), body)
        return file

    def _describe(self, message: Any, body: str) -> None:
        kinds = self._protobuf("descriptor_pb2").FieldDescriptorProto
        for label, kind, name, number in _FIELD.findall(body):
            field = message.field.add(name=name, number=int(number), label=kinds.LABEL_OPTIONAL)
            if label == "repeated":
                field.label = kinds.LABEL_REPEATED
            scalar = getattr(kinds, f"TYPE_{kind.upper()}", None)
            field.type = kinds.TYPE_MESSAGE if scalar is None else scalar
            if scalar is None:
                field.type_name = f".{self._package}.{kind}"
            if label == "optional":
                field.proto3_optional = True
        # An optional field is the one of a group of its own, by which its presence is known.
        for field in message.field:
            if field.proto3_optional:
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")

    def _protobuf(self, module: str) -> Any:
        """A module of the protobuf library."""
        try:
            return importlib.import_module(f"google.protobuf.{module}")
        except ModuleNotFoundError:
            raise MissingExtra(
                f"the driver protobuf is not installed; pip install 'eventstore-lab[{self._extra}]'"
            ) from None

    @cached_property
    def _text(self) -> str:
        return _COMMENT.sub("", self.file.read_text(encoding="utf-8"))

    @cached_property
    def _package(self) -> str:
        (package,) = _PACKAGE.findall(self._text)
        return str(package)
