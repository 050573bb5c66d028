"""Every output that is held byte for byte: a name, and how it is made.

Stored runs of each kind are in `runs/`; what the lab shows of them is in `expected/`. A change that
is meant is accepted by `python -m tests.golden.accept`, and its commit says so.
"""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness import results
from harness.cli import main

ROOT = Path(__file__).parents[2]
EXPECTED = Path(__file__).with_name("expected")
LONG_NUMBER = re.compile(r"\b(?=(?:\d\.?){13})\d+\.\d+(?:e[-+]?\d+)?\b")
RUNS = "tests/golden/runs"
STORED = {
    "baseline": "results/baseline",
    "baseline-hot-streams": "results/baseline/hot-streams",
    "baseline-subscribe-latency": "results/baseline/subscribe-latency",
    "closed": f"{RUNS}/closed",
    "open": f"{RUNS}/open",
    "search": f"{RUNS}/search",
    "varied": f"{RUNS}/varied",
    "pairs": f"{RUNS}/pairs",
}


def eslab(*arguments: str) -> str:
    """Standard output, standard error and exit code of the command, 120 columns wide."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _at_root(arguments):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
    parts = [f"$ eslab {' '.join(arguments)}", out.getvalue()]
    parts += [f"--- standard error\n{err.getvalue()}"] if err.getvalue() else []
    return "\n".join([*parts, f"--- exit code {code}\n"])


@contextlib.contextmanager
def _at_root(arguments: Sequence[str]) -> Iterator[None]:
    kept, folder, argv = dict(os.environ), Path.cwd(), sys.argv
    os.environ |= {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    sys.argv = ["eslab", *arguments]
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.argv = argv
        os.environ.clear()
        os.environ.update(kept)


class _Page(html.parser.HTMLParser):
    """The text of a page, a line a block; a table's row is one line."""

    SILENT = frozenset({"script", "style"})
    BLOCKS = frozenset({"p", "li", "tr", "h1", "h2", "h3", "caption", "section", "pre", "summary"})

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._silent = 0

    def handle_starttag(self, tag, attributes):
        self._silent += tag in self.SILENT
        if tag in self.BLOCKS:
            self.lines.append("")
        if tag in {"td", "th"}:
            self.lines[-1] += " | "
        label = dict(attributes).get("aria-label")
        self.lines[-1] += f" [{label}] " if label else ""

    def handle_endtag(self, tag):
        self._silent -= tag in self.SILENT

    def handle_data(self, data):
        if not self._silent:
            self.lines[-1] += data.replace("\n", " ")


def page(run: str) -> str:
    """What a reader sees on the page of a run, without the figures' drawings."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "run"
        shutil.copytree(ROOT / run, copy)
        for old in (copy / "report.html", copy / "notebooks"):
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        eslab("report", str(copy))
        parser = _Page()
        parser.feed((copy / "report.html").read_text(encoding="utf-8"))
    lines = [re.sub(r"\s+", " ", line).strip() for line in parser.lines]
    return "\n".join(line for line in lines if line).replace(scratch, "SCRATCH") + "\n"


def columns(run: str) -> str:
    """Names and types of the columns of a run's tables."""
    found = results.load(ROOT / run)
    tables = {"trials": found.trials, "intervals": found.intervals, "probes": found.probes}
    return json.dumps(
        {name: {column: str(kind) for column, kind in table.dtypes.items()}
         for name, table in tables.items()}, indent=1,
    ) + "\n"  # fmt: skip


def doctor() -> str:
    """Which parts `eslab doctor --json` has; what is in them is the machine's."""
    text = eslab("doctor", "--json").partition("\n")[2].partition("\n--- ")[0]
    found = json.loads(text)
    return json.dumps({key: type(value).__name__ for key, value in found.items()}, indent=1) + "\n"


def conformance() -> str:
    """The matrix of a small run of checks: its keys, and its verdicts where no race decides."""
    with tempfile.TemporaryDirectory() as scratch:
        eslab("conformance", "--stores", "memory", "--checks", "1,6,18,24", "--out", scratch)
        (path,) = Path(scratch).glob("*/conformance.json")
        content = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps({**content, "stores": [_steady(store) for store in content["stores"]]},
                      indent=1, ensure_ascii=False) + "\n"  # fmt: skip


def _steady(value: object) -> object:
    """JSON without the numbers and times that differ from run to run."""
    if isinstance(value, Mapping):
        return {key: _steady(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_steady(each) for each in value]
    return type(value).__name__ if isinstance(value, float) else value


def _shorter(number: re.Match[str]) -> str:
    """A float with 12 significant digits: the last four depend on the processor."""
    return str(float(f"{float(number[0]):.12g}"))


def _outputs() -> dict[str, Callable[[], str]]:
    found: dict[str, Callable[[], str]] = {}

    def command(name: str, *arguments: str) -> None:
        found[name] = lambda: eslab(*arguments)

    for name, run in STORED.items():
        command(f"show-{name}.txt", "show", run)
    for name in ("baseline", "baseline-hot-streams", "open", "search", "varied", "pairs"):
        found[f"page-{name}.txt"] = lambda run=STORED[name]: page(run)
    for name in ("open", "search"):
        found[f"columns-{name}.json"] = lambda run=STORED[name]: columns(run)
    for kind in ("stores", "workloads", "scenarios", "checks"):
        command(f"list-{kind}.txt", "list", kind)
    for name in ("csv", "bmf", "gha", "markdown"):
        command(f"export-{name}.txt", "export", STORED["varied"], "--format", name)
    command("show-varied.json", "show", STORED["varied"], "--json")
    command("compare-stores.txt", "compare", "results/baseline:postgres:template",
            "results/baseline:postgres")  # fmt: skip
    command("compare-pairs.txt", "compare", f"{STORED['pairs']}:sqlite",
            f"{STORED['pairs']}:memory", "--allow-mixed-durability")  # fmt: skip
    command("compare-refused.txt", "compare", f"{STORED['closed']}:sqlite",
            f"{STORED['closed']}:memory")  # fmt: skip
    command("compare.json", "compare", "results/baseline:postgres:template",
            "results/baseline:postgres", "--json")  # fmt: skip
    command("explain.txt", "conformance", "--explain", "9")
    command("dry-run.txt", "run", "scenarios/quick.yaml", "--stores", "memory,sqlite", "--dry-run")
    command("validate.txt", "validate", "scenarios/quick.yaml")
    command("help.txt", "--help")
    found["doctor-shape.json"] = doctor
    found["conformance.json"] = conformance
    return {name: lambda make=make: LONG_NUMBER.sub(_shorter, make())
            for name, make in found.items()}  # fmt: skip


OUTPUTS: Mapping[str, Callable[[], str]] = _outputs()
