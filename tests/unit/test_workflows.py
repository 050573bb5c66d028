"""The workflows run no action that its authors could exchange."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "action.yml", *sorted((ROOT / ".github").rglob("*.y*ml"))]
_USES = re.compile(r"^[\s-]*[\"']?uses[\"']?\s*:\s*(?P<action>.*)$", re.MULTILINE)
_PINNED = re.compile(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+(\.\d+)*")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_action_of_another_repository_is_pinned_by_commit_with_its_version(file: Path):
    text = file.read_text()
    used = [match["action"].strip() for match in _USES.finditer(text)]
    assert used, "this file was expected to use actions"
    assert text.count("uses") == len(used), "written in a way that this test does not read"
    foreign = [action for action in used if not action.startswith("./")]
    assert [action for action in foreign if not _PINNED.fullmatch(action)] == []
