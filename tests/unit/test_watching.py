"""Which reads of a watcher met which appends."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from harness.conformance.framework.watching import LOG, Look, Watcher

STREAMS = ("a", "b", "c")


def _met(look, append) -> bool:
    apart = look.ended_s < append.began_s or append.ended_s < look.began_s
    return not apart and look.where in (append.stream, LOG)


@pytest.mark.parametrize("seed", range(60))
def test_reads_and_appends_are_counted_as_if_each_were_compared_with_each(seed):
    rng = Random(seed)

    def span():
        began_s = rng.randint(0, 60)
        return began_s, began_s + rng.randint(0, 8)

    looks = [Look(rng.choice([*STREAMS, LOG]), *span(), []) for _ in range(rng.randint(0, 30))]
    spans = [span() for _ in range(rng.randint(0, 12))]
    appends = [
        SimpleNamespace(stream=rng.choice(STREAMS), began_s=began_s, ended_s=ended_s)
        for began_s, ended_s in spans
    ]
    watcher = Watcher(None, STREAMS, None, log=True, looks=looks)
    assert watcher.reads_during(appends) == sum(any(_met(r, a) for a in appends) for r in looks)
    assert watcher.met(appends) == sum(any(_met(r, a) for r in looks) for a in appends)
