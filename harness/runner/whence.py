"""Prints where each store is imported from: run as a process of its own, with a checkout's code."""

from __future__ import annotations

import json

from harness import stores

if __name__ == "__main__":
    print(json.dumps(dict(stores.files())))  # noqa: T201 — what the process is for
