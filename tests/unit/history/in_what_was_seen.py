"""Faults towards readers: single streams that differ, deliveries missed, doubled, out of order."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from harness.verification import FOREIGN, Kind

from .fault import Fault, Place, acknowledged, pick, place
from .told import NAMES, NEVER_SENT, Handed, Row, Told


def miss_an_event_in_a_stream_read(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, told.log)
    told.reads[row.stream].remove(row)
    return {place(row)}


def alter_an_event_in_a_stream_read(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, told.log)
    told.reads[row.stream][row.version] = rng.choice(
        [replace(row, intact=False), replace(row, event=NEVER_SENT)]
    )
    return {place(row)}


def read_more_in_a_stream(told: Told, rng: Random) -> set[Place]:
    stream = rng.choice([*NAMES])
    told.reads[stream].append(Row(stream, told.head(stream) + 1, NEVER_SENT, 0))
    return {place(told.reads[stream][-1])}


def skip_an_acknowledged_delivery(told: Told, rng: Random) -> set[Place]:
    handed = pick(rng, [one for one in told.handed if told.certain(one.event)])
    told.handed.remove(handed)
    return {_place(handed)}


def skip_a_delivery_of_unknown_outcome(told: Told, rng: Random) -> set[Place]:
    """One behind which the subscriber was handed something: it passed it by."""
    order = [place(row) for row in told.log]
    passed = [
        one
        for one in told.handed
        if not told.certain(one.event)
        if any(
            other.subscriber == one.subscriber
            and order.index(_place(other)) > order.index(_place(one))
            for other in told.handed
        )
    ]
    handed = pick(rng, passed)
    told.handed.remove(handed)
    return {_place(handed)}


def hand_a_subscriber_nothing(told: Told, rng: Random) -> set[Place]:
    pick(rng, acknowledged(told))
    told.subscribers += 1
    return {place(row) for row in acknowledged(told)}


def deliver_twice(told: Told, rng: Random) -> set[Place]:
    handed = pick(rng, told.handed)
    behind = told.handed.index(handed) + 1
    told.handed.insert(rng.randint(behind, len(told.handed)), replace(handed))
    return {_place(handed)}


def deliver_out_of_order(told: Told, rng: Random) -> set[Place]:
    pairs = [
        (first, second)
        for first in told.handed
        for second in told.handed
        if (first.subscriber, first.stream) == (second.subscriber, second.stream)
        if second.version == first.version + 1
    ]
    first, second = pick(rng, pairs)
    earlier = _place(first)
    first.version, second.version = second.version, first.version
    first.event, second.event = second.event, first.event
    return {earlier}


def deliver_what_is_not_in_the_log(told: Told, rng: Random) -> set[Place]:
    stream = rng.choice([*NAMES])
    event = rng.choice([FOREIGN, NEVER_SENT, *(row.event for row in told.log)])
    told.handed.append(Handed(0, event, stream, told.head(stream) + 1))
    return {_place(told.handed[-1])}


def _place(handed: Handed) -> Place:
    return handed.stream, handed.version, handed.event


IN_STREAM_READS = (
    Fault(miss_an_event_in_a_stream_read, Kind.STREAM_READ_DIFFERS),
    Fault(alter_an_event_in_a_stream_read, Kind.STREAM_READ_DIFFERS),
    Fault(read_more_in_a_stream, Kind.STREAM_READ_DIFFERS),
)
IN_DELIVERIES = (
    Fault(skip_an_acknowledged_delivery, Kind.SKIPPED),
    Fault(skip_a_delivery_of_unknown_outcome, Kind.SKIPPED),
    Fault(hand_a_subscriber_nothing, Kind.SKIPPED),
    Fault(deliver_twice, Kind.DELIVERED_TWICE),
    Fault(deliver_out_of_order, Kind.DELIVERED_OUT_OF_ORDER),
    Fault(deliver_what_is_not_in_the_log, Kind.DELIVERED_UNWRITTEN),
)
