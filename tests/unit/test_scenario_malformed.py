"""Many malformed scenario files: each loads or is one line, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.domain.errors import BadInput
from harness.scenario.text import parse

from .scenarios import CATALOGUE, SHIPPED, SMALL, loaded

TEXTS = [path.read_text() for path in SHIPPED]
CONTENTS = [parse(text, "shipped").content for text in TEXTS]
KEYS = sorted({key for content in CONTENTS for key in content})
WORDS = [*KEYS, *CATALOGUE.stores, *CATALOGUE.workloads, "closed", "open", "workers", "zipf"]


def examples(count: int) -> settings:
    """So many of them, the same ones in every run, however long each takes."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(WORDS)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def assert_loads_or_is_one_line(folder: Path, content: str | bytes) -> None:
    try:
        loaded(folder, content)
    except BadInput as error:
        refused = str(error)
    else:
        return
    assert refused.isprintable()
    assert len(refused) < 1_500
    assert "given.yaml" in refused


@st.composite
def changed_contents(draw):
    """A shipped scenario with values replaced, keys renamed, dropped or added, at any depth."""
    content = json.loads(json.dumps(draw(st.sampled_from(CONTENTS))))
    for _ in range(draw(st.integers(1, 3))):
        inner = content
        while True:
            key = draw(st.sampled_from(sorted(inner) or ["name"]))
            if not isinstance(inner.get(key), dict) or draw(st.booleans()):
                break
            inner = inner[key]
        match draw(st.sampled_from(["replace", "rename", "drop", "add"])):
            case "replace":
                inner[key] = draw(values)
            case "rename":
                inner[draw(st.sampled_from(WORDS) | st.text(max_size=10))] = inner.pop(key, None)
            case "drop":
                inner.pop(key, None)
            case "add":
                inner[draw(st.sampled_from(WORDS))] = draw(values)
    return json.dumps(content, ensure_ascii=draw(st.booleans()))


@st.composite
def damaged_texts(draw):
    """A shipped scenario's text with pieces cut, doubled or put in."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(
            st.sampled_from(
                ["", "\t", "\n", ":", "- ", "{", "]", "&a ", "*a", "!!x ", "---\n", '"']
            )
            | st.text(max_size=6)
            | st.just(text[start:end] * 2)
        )
        text = text[:start] + piece + text[end:]
    return text


@examples(500)
@given(content=changed_contents())
def test_a_scenario_with_changed_values_and_keys(tmp_path: Path, content: str):
    assert_loads_or_is_one_line(tmp_path, content.encode("utf-8", "surrogatepass"))


@examples(250)
@given(
    name=st.sampled_from(WORDS) | st.text(max_size=10), value=st.text(max_size=20) | values.map(str)
)
def test_any_setting(tmp_path: Path, name: str, value: str):
    with contextlib.suppress(BadInput):
        loaded(tmp_path, SMALL, settings=(f"{name}={value}",))


@examples(150)
@given(text=damaged_texts())
def test_a_scenario_with_damaged_text(tmp_path: Path, text: str):
    assert_loads_or_is_one_line(tmp_path, text.encode("utf-8", "surrogatepass"))


@examples(200)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_anything_at_all(tmp_path: Path, content: bytes):
    assert_loads_or_is_one_line(tmp_path, content)
