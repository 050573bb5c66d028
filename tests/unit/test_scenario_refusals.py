"""Scenario files that are wrong: the one line that each gets, with its place."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import model_validator

from harness.domain.errors import BadInput
from harness.domain.store import StoreOptions
from harness.scenario import Overrides, load
from harness.scenario.overrides import server_settings
from harness.servers import declarable_settings

from .scenarios import CATALOGUE, SMALL, loaded

REFUSED = {
    "lod: {}": "4:1: unknown key 'lod'; allowed: description, drain_s, duration_s, events, "
    "faults, load, name, operations, path, repetitions, require, seed, servers, stores, streams, "
    "vary, verify, warm_up_s, workload (did you mean 'load'?)",
    "load: {closed: {worker: 3}}": "4:17: unknown key 'worker'; allowed: workers "
    "(did you mean 'workers'?)",
    "streams: {choice: {zip: 1}}": "4:19: 'zipf' is missing in streams.choice",
    "load: {closed: {workers: many}}": "4:26: load.closed.workers: expected a whole number, "
    "got 'many'",
    "load: {closed: {workers: '8'}}": "4:26: load.closed.workers: expected a whole number, got '8'",
    "load: {closed: {workers: 1.5}}": "4:26: load.closed.workers: expected a whole number, got 1.5",
    "load: {closed: {workers: true}}": "4:26: load.closed.workers: expected a whole number, "
    "got true",
    "load: {closed: {workers: 0}}": "4:26: load.closed.workers: expected at least 1, got 0",
    "load: {}": "4:7: load: expected one of closed and open",
    "load: 3": "4:7: load: expected a mapping (key: value), got 3",
    "load:": "4:1: load: expected a mapping (key: value), got nothing",
    "load: {open: {}}": "4:14: load.open: expected one of rate_per_s, of_capacity, ramp and search",
    "load: {open: {of_capacity: 0.7, rate_per_s: 3}}": "4:14: load.open: expected one of "
    "rate_per_s, of_capacity, ramp and search",
    "load: {open: {ramp: {from: 1, too: 9, steps: 3}}}": "4:21: 'to' is missing in load.open.ramp",
    "load: {open: {ramp: {from: 1, to: 1, steps: 3}}}": "4:21: load.open.ramp: expected from and "
    "to far enough apart for that many steps",
    "load: {open: {ramp: {from: 1, to: 9, steps: 3}, rate_per_s: 5}}": "4:21: ramp: expected no "
    "other rate with it",
    "load: {open: {search: {slo: {errors: 1%}}}}": "4:29: load.open.search.slo: expected p50_ms, "
    "p99_ms or both",
    "load: {open: {search: {slo: {p99_ms: 5, errors: x%}}}}": "4:49: load.open.search.slo.errors: "
    "expected a number, got 'x%'",
    "load: {open: {rate_per_s: .inf}}": "4:27: load.open.rate_per_s: expected a finite number, "
    "got inf",
    "load: {open: {rate_per_s: 5, arrivals: poison}}": "4:40: load.open.arrivals: expected "
    "'poisson' or 'uniform', got 'poison' (did you mean 'poisson'?)",
    "warm_up_s: -1": "4:12: warm_up_s: expected at least 0, got -1",
    "duration_s: 1\noperations: 5": "1:1: the file: expected one of duration_s and operations",
    "stores: []": "4:1: the key 'stores' is given twice, first in line 2",
    "events: {size_bytes: 16}": "4:9: events: JSON events take at least 32 bytes; got 16",
    "events: {size_bytes: small}": "4:22: events.size_bytes: expected a whole number, got 'small'",
    "events: {size_bytes: {median: 10, min: 32}}": "4:22: events.size_bytes: expected min ≤ "
    "median ≤ max",
    "events: {types: {}}": "4:17: events.types: expected at least 1, got a mapping",
    "streams: {choice: sideways}": "4:19: streams.choice: expected 'uniform' or 'latest', "
    "got 'sideways'",
    "servers: {postgre: {}}": "4:11: unknown server 'postgre'; allowed: dynamodb, "
    "eventstoredb, kafka, postgres, umadb (did you mean 'postgres'?)",
    "vary: {seed: [1, 2]}": "4:8: 'seed' cannot vary; allowed: workload, load, events, streams, "
    "path, warm_up_s, duration_s, operations, drain_s and what is in them",
    "vary: {streams.count: [1, [2]]}": "4:27: streams.count: expected a single value",
    "vary: {load.closed.workers: 3}": "4:29: load.closed.workers: expected a list of values",
    "vary: {load.closed.workers: []}": "4:29: load.closed.workers: expected a list of values",
    "vary: {load.closed.workers: [1, 1]}": "4:33: load.closed.workers: 1 is given twice",
    "vary: {load.closed.workers: [1, 0]}": "4:33: load.closed.workers: expected at least 1, got 0",
    "vary: {load.closed.workers: [0, 1]}": "4:30: load.closed.workers: expected at least 1, got 0",
    "vary: {load.closed.worker: [1, 2]}": "4:29: unknown key 'worker'; allowed: workers "
    "(did you mean 'workers'?)",
    "a: &x [1]": "4:4: an anchor; scenarios take plain values only",
    "a: *x": "4:4: an alias; scenarios take plain values only",
    "a: !!python/object:os.system x": "4:4: the tag !!python/object:os.system; "
    "expected a plain value",
    "---\nname: y": "4:1: a second document; expected one scenario",
    "a: [1": "5:1: not YAML: expected ',' or ']', but got '<stream end>'",
    "[a]: 1": "4:1: a key that is not a word",
    "a: " + "[" * 30: "4:23: nested deeper than 20 levels",
    "streams: {count: 10000000, prefill: 1000}": "4:10: streams: 10,000,000,000 prefilled events; "
    "expected at most 1,000,000,000",
    "vary: {events.content: [random, json], events.size_bytes: [64, 16]}": "4:64: events: JSON "
    "events take at least 32 bytes; got 16",
    'events: {types: {"a\\nb": 0}}': "4:26: events.types.a\\nb: expected more than 0, got 0",
    'events: {types: {"a\\0": 1}}': "4:18: the character '\\x00'; expected text without control "
    "characters",
    'description: "\\ud800"': "4:14: the character '\\ud800'; expected text without control "
    "characters",
    'vary: {"load.\\n": 3}': "4:19: load.\\n: expected a list of values",
    "repetitions: 1000\nvary: {streams.count: [1, 2, 3, 4]}": "5:7: 12,000 trials; expected at "
    "most 10,000",
    "x" * 100 + ": 1": "4:1: unknown key '" + "x" * 59 + "…; allowed: description, drain_s, "
    "duration_s, events, faults, load, name, operations, path, repetitions, require, seed, "
    "servers, stores, streams, vary, verify, warm_up_s, workload",
    "require: {occ: natve}": "4:16: require.occ: expected 'native' or 'emulated', got 'natve' "
    "(did you mean 'native'?)",
    "require: {licence: free}": "4:11: unknown key 'licence'; allowed: append_only, "
    "at_rate_per_s, atomic_append, durability, errors, gap_free_read, global_order, idempotency, "
    "occ, p50_ms, p99_ms, payload, stream_read, subscription, writers",
    "require: {gap_free_read: false}": "4:26: require.gap_free_read: expected true, got false",
    "require: {p99_ms: 5}": "4:10: require: expected at_rate_per_s with p99_ms, "
    "which holds at a rate",
    "require: {at_rate_per_s: 0}": "4:26: require.at_rate_per_s: expected more than 0, got 0",
    "require: {at_rate_per_s: 5, errors: 2}": "4:37: require.errors: expected at most 1, got 2",
    "require: [occ]": "4:10: require: expected a mapping (key: value), got a list",
    "vary: {require.occ: [native]}": "4:8: 'require.occ' cannot vary; allowed: workload, load, "
    "events, streams, path, warm_up_s, duration_s, operations, drain_s and what is in them",
    "seed: " + "9" * 40: "4:7: '" + "9" * 40 + "' is no int",
}


@pytest.mark.parametrize(("addition", "said"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_wrong_is_told_with_its_place_and_what_is_allowed(
    tmp_path: Path, addition: str, said: str
):
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, SMALL + addition + "\n")
    assert str(refused.value) == f"{tmp_path}/given.yaml:{said}"


STORES = {
    "[postgre]": "2:10: unknown store 'postgre'; allowed: dynamodb, eventstoredb, "
    "kafka, memory, null, postgres, sqlite, umadb (did you mean 'postgres'?)",
    '["postgres:raw"]': "2:10: postgres has no variant 'raw'; allowed: row, global-lock, "
    "table-lock, counter, coalesced, boundary, template (did you mean 'row'?)",
    "['sqlite{sync=off}']": "2:10: sqlite has no option 'sync'; allowed: busy_timeout_s, "
    "synchronous (did you mean 'synchronous'?)",
    "['sqlite{synchronous=of}']": "2:10: sqlite: option synchronous: expected 'full', 'normal' or "
    "'off', got 'of' (did you mean 'off'?)",
    "['sqlite{busy_timeout_s=long}']": "2:10: sqlite: option busy_timeout_s: expected a number, "
    "got 'long'",
    "[{store: postgres, options: {notify: 1}}]": "2:10: postgres: option notify: expected true or "
    "false, got 1",
    "[memory, memory]": "2:18: memory is given twice",
    "[a b]": "2:10: 'a b' is not a store name; expected name[:variant][{key=value,…}]",
    "[{}]": "2:10: 'store' is missing in stores.0",
    "[]": "2:9: stores: expected at least 1, got an empty list",
    "memory": "2:9: stores: expected a list, got 'memory'",
    "[3]": "2:10: stores.0: expected text, got 3",
}


@pytest.mark.parametrize(("stores", "said"), STORES.items(), ids=list(STORES))
def test_a_wrong_store_is_told_with_what_there_is(tmp_path: Path, stores: str, said: str):
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, f"name: x\nstores: {stores}\nworkload: append\n")
    assert str(refused.value) == f"{tmp_path}/given.yaml:{said}"


WORKLOADS = {
    "apend": "3:11: unknown workload 'apend'; allowed: append, boundary, catch_up, "
    "command, read_stream, retry, subscribe (did you mean 'append'?)",
    "{name: apend}": "3:18: unknown workload 'apend'; allowed: append, boundary, catch_up, "
    "command, read_stream, retry, subscribe (did you mean 'append'?)",
    "{name: append, batch: 2}": "3:26: unknown key 'batch'; allowed: batch_size, expected "
    "(did you mean 'batch_size'?)",
    "{name: append, batch_size: 0}": "3:38: workload.batch_size: expected at least 1, got 0",
    "{batch_size: 2}": "3:11: 'name' is missing in workload",
    "read_stream": "3:11: read_stream reads existing events: streams.prefill must be at least 1",
}


@pytest.mark.parametrize(("workload", "said"), WORKLOADS.items(), ids=list(WORKLOADS))
def test_a_wrong_workload_is_told_with_what_there_is(tmp_path: Path, workload: str, said: str):
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, f"name: x\nstores: [memory]\nworkload: {workload}\n")
    assert str(refused.value) == f"{tmp_path}/given.yaml:{said}"


FLAGS = {
    "load.closed.workers=many": "--set load.closed.workers=many: load.closed.workers: expected a "
    "whole number, got 'many'",
    "load.closed.worker=1": "--set load.closed.worker=1: unknown key 'worker'; allowed: workers "
    "(did you mean 'workers'?)",
    "workers": "--set workers: expected name=value, for example load.closed.workers=8",
    "=1": "--set =1: expected name=value, for example load.closed.workers=8",
    "a..b=1": "--set a..b=1: expected name=value, for example load.closed.workers=8",
    "load=\n3": "--set load=\\n3: load: expected a mapping (key: value), got 3",
    "seed=[": "--set seed=[: not YAML: expected the node content, but found '<stream end>'",
}


@pytest.mark.parametrize(("setting", "said"), FLAGS.items(), ids=list(FLAGS))
def test_a_wrong_setting_is_told_by_its_flag(tmp_path: Path, setting: str, said: str):
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, SMALL, settings=(setting,))
    assert str(refused.value) == said


def test_wrong_stores_and_repetitions_on_the_command_line_are_told_by_their_flag(tmp_path: Path):
    for overrides, said in (
        ({"stores": "memory,sqlit"}, "--stores: unknown store 'sqlit'"),
        ({"stores": ","}, "--stores: expected names"),
        ({"repeat": 0}, "--repeat 0: repetitions: expected at least 1, got 0"),
    ):
        with pytest.raises(BadInput) as refused:
            loaded(tmp_path, SMALL, **overrides)
        assert str(refused.value).startswith(said)


def test_all_stores_are_every_variant_that_keeps_events(tmp_path: Path):
    keys = [trial.store.key for trial in loaded(tmp_path, SMALL, stores="all", repeat=1).trials]
    assert {"memory", "postgres", "postgres:row", "kafka:single-writer", "dynamodb"} <= set(keys)
    assert "null" not in keys
    assert len(keys) == len(set(keys))


def test_too_many_points_are_refused(tmp_path: Path):
    values = list(range(1, 200))
    vary = f"vary: {{load.closed.workers: {values}, streams.count: {values}}}\n"
    with pytest.raises(BadInput, match="more than 10,000 points"):
        loaded(tmp_path, SMALL + vary)


def test_a_list_of_too_many_values_is_refused_before_they_are_compared(tmp_path: Path):
    vary = f"vary: {{streams.count: {list(range(1, 2000))}}}\n"
    with pytest.raises(
        BadInput, match=r"4:23: streams\.count: 1,999 values; expected at most 1,000"
    ):
        loaded(tmp_path, SMALL + vary)


@pytest.mark.parametrize(
    ("servers", "fault"),
    [
        ("postgres: {archive_command: id}", "4:22: servers.postgres: 'archive_command' is not"),
        ("postgres: {Data_Directory: /}", "4:22: servers.postgres: 'Data_Directory' is not"),
        ("postgres: {hba_file: /x}", "4:22: servers.postgres: 'hba_file' is not"),
        ("postgres: {listen_addresses: x}", "4:22: servers.postgres: 'listen_addresses' is not"),
        ("postgres: {fsync: on, a.b: 1}", "4:33: servers.postgres: 'a.b' is not"),
        ("kafka: {log.dir: /}", "4:19: servers.kafka: 'log.dir' is not"),
        ("kafka: {log_dirs: /}", "4:19: servers.kafka: 'log_dirs' is not"),
        ("kafka: {metric.reporters: x.Y}", "4:19: servers.kafka: 'metric.reporters' is not"),
        ("dynamodb: {storage: tape}", "4:31: servers.dynamodb: storage: 'tape' is none of memory"),
        ("eventstoredb: {DB: /}", "4:26: servers.eventstoredb: 'DB' is not"),
        ('kafka: {num.partitions: "1\\nlog.dir=/"}', "4:35: servers.kafka: num.partitions: '1"),
    ],
)
def test_a_setting_that_reaches_past_its_server_is_refused(
    tmp_path: Path, servers: str, fault: str
):
    with pytest.raises(BadInput, match=rf"given\.yaml:{re.escape(fault)}"):
        loaded(tmp_path, f"{SMALL}servers: {{{servers}}}\n")


def test_a_setting_by_a_flag_is_checked_too(tmp_path: Path):
    setting = "servers.postgres.shared_bufers=1GB"
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, SMALL, settings=(setting,))
    assert str(refused.value) == (
        f"--set {setting}: servers.postgres: 'shared_bufers' is not a setting that a scenario may"
        " declare (did you mean 'shared_buffers'?)"
    )


def test_the_servers_of_a_file_are_checked_beside_other_stores(tmp_path: Path):
    with pytest.raises(BadInput, match="unknown server 'postgre'"):
        loaded(tmp_path, SMALL + "servers: {postgre: {}}\n", stores="memory")


def test_yaml_1_1_in_which_off_is_false_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match=r"given\.yaml:2:1: YAML 1\.1; expected YAML 1\.2"):
        loaded(tmp_path, "%YAML 1.1\n---\n" + SMALL)
    assert loaded(tmp_path, "%YAML 1.2\n---\n" + SMALL).name == "small"


def test_of_a_huge_file_no_more_is_read_than_a_scenario_may_have(tmp_path: Path):
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadInput, match=r"huge\.yaml: too large; expected at most 262,144 bytes"):
        load(huge, CATALOGUE)


FILES = {
    b"": "given.yaml:1:1: the file is empty; expected a scenario",
    b"# nothing\n": "given.yaml:1:1: the file is empty; expected a scenario",
    b"- a\n": "given.yaml:1:1: expected a mapping (key: value)",
    b"name: x\nseed: \xff\n": "given.yaml:2:7: byte 0xff is not UTF-8; expected a UTF-8 file",
    b"name: \x00x\n": "given.yaml:1:7: character '\\x00' is not allowed in YAML",
    b"x" * 300_000: "given.yaml: too large; expected at most 262,144 bytes",
}


@pytest.mark.parametrize(("content", "said"), FILES.items(), ids=range(len(FILES)))
def test_a_file_that_is_no_scenario_is_one_line(tmp_path: Path, content: bytes, said: str):
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, content)
    assert str(refused.value) == f"{tmp_path}/{said}"


def test_a_directory_and_a_missing_file_are_one_line(tmp_path: Path):
    for path, said in (
        (tmp_path, "a directory"),
        (tmp_path / "no.yaml", "cannot be read: No such"),
    ):
        with pytest.raises(BadInput) as refused:
            load(path, CATALOGUE, overrides=Overrides())
        assert str(refused.value).startswith(f"{path}: {said}")


class Pair(StoreOptions):
    """Options of which one does not fit the other."""

    low: int = 1
    high: int = 2

    @model_validator(mode="after")
    def _ordered(self) -> Pair:
        if self.low > self.high:
            raise ValueError("expected low ≤ high")
        return self


@pytest.mark.parametrize(
    "store",
    ['"memory{low=5}"', "{store: memory, options: {low: 5}}"],
    ids=["in its name", "beside"],
)
def test_options_that_do_not_fit_each_other_are_one_line(tmp_path: Path, store: str):
    kind = replace(CATALOGUE.stores["memory"], options=Pair)
    file = tmp_path / "given.yaml"
    file.write_text(f"name: x\nstores: [{store}]\nworkload: append\n")
    with pytest.raises(BadInput) as refused:
        load(file, replace(CATALOGUE, stores={"memory": kind}))
    assert str(refused.value) == f"{file}:2:10: memory: options: expected low ≤ high"


@pytest.mark.parametrize("flag", ["--stores", "--candidate"])
@pytest.mark.parametrize("stores", ["sqlit", "memory,memory", " , "])
def test_stores_that_are_wrong_are_refused_in_the_name_of_the_flag_that_has_them(
    tmp_path, flag, stores
):
    with pytest.raises(BadInput, match=f"^{flag}: "):
        loaded(tmp_path, SMALL, stores=stores, stores_flag=flag)


def test_settings_of_servers_alone_are_taken_where_there_is_no_scenario():
    known = declarable_settings()
    pairs = ["servers.dynamodb.storage=file", "servers.kafka.num.io.threads=4"]
    assert server_settings(pairs, known) == {
        "dynamodb": {"storage": "file"},
        "kafka": {"num.io.threads": "4"},
    }
    for pair, told in {
        "duration_s=3": "expected a server's setting",
        "servers.dynamodb=file": "expected a server's setting",
        "servers.dynamo.storage=file": "did you mean 'dynamodb'",
        "servers.dynamodb.storage=disk": "none of memory, file",
    }.items():
        with pytest.raises(BadInput, match=rf"--set {re.escape(pair)}: .*{told}"):
            server_settings([pair], known)
