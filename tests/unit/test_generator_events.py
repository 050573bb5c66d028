"""Events: fresh, seeded, sized as declared, and told again from their sequence number."""

import json
from uuid import UUID

import pytest

from harness.domain.identity import event_id, id_base, sequence_of
from harness.load.events import EventFactory
from harness.scenario.model import EventShape, Spread


def shape(content="json", size_bytes=256):
    types = {"OrderPlaced": 3, "OrderPaid": 1}
    return EventShape(types=types, size_bytes=size_bytes, content=content)


def test_the_same_seed_gives_the_same_events_and_another_seed_gives_others():
    first, again, other = (EventFactory(shape(), seed) for seed in ("a", "a", "b"))
    events = first.new_events(50)
    assert events == again.new_events(50)
    assert not {event.id for event in events} & {event.id for event in other.new_events(50)}


def test_no_two_events_share_an_id_or_a_payload():
    events = EventFactory(shape(), "seed").new_events(5000)
    assert len({event.id for event in events}) == 5000
    assert len({event.data for event in events}) == 5000


@pytest.mark.parametrize("content", ["json", "random"])
@pytest.mark.parametrize("size_bytes", [64, 256, 65_536])
def test_a_fixed_size_is_met_to_the_byte(content, size_bytes):
    for event in EventFactory(shape(content, size_bytes), "seed").new_events(20):
        assert len(event.data) == size_bytes


def test_drawn_sizes_differ_and_stay_inside_their_bounds():
    drawn = shape(size_bytes=Spread(median=256, sigma=1.0, min=64, max=4096))
    sizes = {len(event.data) for event in EventFactory(drawn, "seed").new_events(500)}
    assert len(sizes) > 100
    assert min(sizes) >= 64
    assert max(sizes) <= 4096


def test_json_payloads_are_json_objects():
    for event in EventFactory(shape(), "seed").new_events(50):
        assert len(json.loads(event.data)) > 3


def test_payloads_are_never_mostly_one_byte():
    for content in ("json", "random"):
        event = EventFactory(shape(content, 4096), "seed").new_events(1)[0]
        assert max(event.data.count(byte) for byte in set(event.data)) < len(event.data) / 5


def test_a_payload_is_told_again_from_its_sequence_number():
    factory = EventFactory(shape(), "seed", first=7)
    for event in factory.new_events(2000):
        assert factory.data_of(sequence_of(factory.base, event.id)) == event.data


def test_types_follow_their_weights():
    types = [event.type for event in EventFactory(shape(), "seed").new_events(5000)]
    assert 0.65 < types.count("OrderPlaced") / len(types) < 0.85


def test_ids_are_uuids_of_version_8_and_know_their_place():
    base = id_base("seed")
    for sequence in (0, 1, 12_345, (1 << 48) - 1):
        identity = event_id(base, sequence)
        assert identity.version == 8
        assert sequence_of(base, identity) == sequence
    assert sequence_of(base, UUID(int=5)) == -1


def test_a_single_event_equals_the_ordinary_construction():
    event = EventFactory(shape(), "seed").new_events(1)[0]
    ordinary = type(event)(
        id=UUID(int=event.id.int), type=event.type, data=event.data, metadata=event.metadata
    )
    assert event == ordinary
    assert str(event.id) == str(ordinary.id)
    assert hash(event) == hash(ordinary)
