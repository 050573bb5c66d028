"""A store's factory is a value that other processes can be sent."""

from __future__ import annotations

import pickle
from types import MappingProxyType

from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.memory.store import MemoryOptions, MemoryStore


def test_it_pickles_though_credentials_are_a_read_only_view():
    endpoint = Endpoint("there", "eslab_1", MappingProxyType({"password": "secret"}))
    factory = StoreFactory(MemoryStore, endpoint, MemoryOptions())
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_options_that_the_store_does_not_have_are_ignored():
    factory = StoreFactory(MemoryStore, Endpoint(), MemoryOptions())
    assert factory.with_options({"deadline_s": 1.0}) == factory


def test_an_empty_address_is_the_same_place():
    factory = StoreFactory(MemoryStore, Endpoint("there"), MemoryOptions())
    assert factory.at("") == factory
    assert factory.at("elsewhere").endpoint.address == "elsewhere"
