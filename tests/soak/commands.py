"""The command line on native servers, and an environment with a store from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "tests" / "e2e" / "adapter" / "indexed_store.py"


def third_party(site: Path) -> dict[str, str]:
    """An environment in which another package offers the store `indexed`."""
    about = site / "indexed_store-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(ADAPTER, site)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: indexed-store\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[eslab.stores]\nindexed = indexed_store:STORE\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}


def eslab(scratch: Path, *arguments: object, environment: dict[str, str] | None = None) -> Any:
    """What the command says in JSON; its progress goes on to the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments), "--servers", "native",
         "--out", str(scratch / "results"), "--json"],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        env=os.environ | (environment or {}),
    )  # fmt: skip
    return json.loads(done.stdout)
