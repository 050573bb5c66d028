"""The generated modules of whichever client is installed."""

from __future__ import annotations

import importlib
import importlib.util

_PLACE = (
    "esdbclient.protos.Grpc"
    if importlib.util.find_spec("esdbclient")
    else "kurrentdbclient.protos.v1"
)

gossip_pb2 = importlib.import_module(f"{_PLACE}.gossip_pb2")
gossip_pb2_grpc = importlib.import_module(f"{_PLACE}.gossip_pb2_grpc")
persistent_pb2 = importlib.import_module(f"{_PLACE}.persistent_pb2")
persistent_pb2_grpc = importlib.import_module(f"{_PLACE}.persistent_pb2_grpc")
shared_pb2 = importlib.import_module(f"{_PLACE}.shared_pb2")
status_pb2 = importlib.import_module(f"{_PLACE}.status_pb2")
streams_pb2 = importlib.import_module(f"{_PLACE}.streams_pb2")
streams_pb2_grpc = importlib.import_module(f"{_PLACE}.streams_pb2_grpc")
