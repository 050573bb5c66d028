"""Accept today's outputs: `python -m tests.golden.accept [NAME …]`, all of them without a name."""

from __future__ import annotations

import sys

from tests.golden.outputs import EXPECTED, OUTPUTS

if __name__ == "__main__":
    for name in sys.argv[1:] or OUTPUTS:
        (EXPECTED / name).write_text(OUTPUTS[name](), encoding="utf-8")
