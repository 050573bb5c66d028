"""Drivers are loaded on first use, so that names can be listed without any of them installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from harness.domain.errors import MissingExtra


class _MissingDriver(ModuleType):
    """Stands for a driver that is not installed; any use of it raises `MissingExtra`."""

    def __init__(self, name: str, extra: str) -> None:
        super().__init__(name)
        self.__dict__["_message"] = (
            f"the driver {name} is not installed; pip install 'eventstore-lab[{extra}]'"
        )

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingExtra(self.__dict__["_message"])


def lazy(name: str, *, extra: str) -> ModuleType:
    """The module `name`, executed at its first attribute access."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return _MissingDriver(name, extra)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
