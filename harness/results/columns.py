"""Every column of a run folder, with its type, unit and meaning; all three are defined only here.

A number that is missing is empty (null in Parquet, NaN or `<NA>` in pandas), never zero.
Text is never missing: it is empty. Times within a trial are ns on one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from harness.domain.expected_version import CODES

FORMAT_VERSION = 2

Kind = Literal["int", "float", "bool", "text", "json", "time"]

_ARROW = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "json": pa.string(),
    "time": pa.timestamp("ms", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `required` columns have a value in every row."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    required: bool = False

    @property
    def field(self) -> pa.Field:
        """The column as Arrow knows it, its unit and meaning in the metadata."""
        about = {"unit": self.unit, "meaning": self.meaning}
        nullable = not self.required and self.kind not in {"text", "json"}
        return pa.field(self.name, _ARROW[self.kind], nullable=nullable, metadata=about)


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of a table with these columns."""
    return pa.schema([column.field for column in columns])


def _key(name: str, kind: Kind, meaning: str, unit: str = "") -> Column:
    return Column(name, kind, unit, meaning, required=True)


def _count(name: str, meaning: str) -> Column:
    return Column(name, "int", "count", meaning)


def _ns(name: str, meaning: str) -> Column:
    return Column(name, "float", "ns", meaning)


def _spread(name: str, meaning: str) -> tuple[Column, ...]:
    """Count, percentiles, maximum; a percentile with fewer than 100 values beyond it is empty."""
    percentiles = {"p50": "50th", "p90": "90th", "p95": "95th", "p99": "99th", "p999": "99.9th"}
    return (
        _count(f"{name}_count", f"values of {meaning}"),
        *(
            _ns(f"{name}_{label}_ns", f"{words} percentile of {meaning}")
            for label, words in percentiles.items()
        ),
        _ns(f"{name}_max_ns", f"largest value of {meaning}, or a longer wait without an answer"),
    )


def _delay(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        _ns(f"{name}_delay_p50_ns", f"50th percentile: {meaning}; open runs only"),
        _ns(f"{name}_delay_p99_ns", f"99th percentile: {meaning}; open runs only"),
    )


_IDENTITY = (
    _key("run", "text", "name of the run folder"),
    _key("scenario", "text", "name of the scenario"),
    _key("scenario_hash", "text", "SHA-256 of the scenario's canonical content"),
    _key("trial", "int", "place in the order of the run, from 1"),
    _key("trial_id", "text", "name of the trial's files"),
    _key("store", "text", "technology"),
    _key("variant", "text", "design variant; empty for the default"),
    _key("options", "text", "options that differ from their defaults, key=value,…"),
    _key("key", "text", "canonical key of store, variant and options"),
    _key("workload", "text", "name of the workload"),
    _key("load", "text", "closed or open"),
    _key("load_label", "text", "the load in words"),
    Column("workers", "int", "count", "clients in a closed run; most in flight in an open one"),
    Column("rate_per_s", "float", "1/s", "offered rate; open runs only"),
    Column("rate_found", "text", "", "capacity or search, where the run chose the rate itself"),
    Column(
        "capacity_per_s", "float", "1/s", "reached in closed probes; where the run chose a rate"
    ),
    Column("failed_rate_per_s", "float", "1/s", "lowest rate that did not hold in a search"),
    _key("point", "json", "the varied names and their values here, canonical JSON"),
    _key("point_label", "text", "the point in words; empty where nothing varies"),
    _key("repetition", "int", "from 1"),
    _key("seed", "text", "the same for every store of a point and repetition"),
    Column("side", "text", "", "base or candidate of a pair; empty where nothing was compared"),
)

_COUNTS = (
    Column("started_at", "time", "UTC", "when the trial began"),
    Column("measured_s", "float", "s", "length of the measured window"),
    _count("scheduled", "operations that were to run"),
    _count("ok", "operations that ended well"),
    _count("conflict", "operations given up after a conflict"),
    _count("refused", "operations that the store or its driver refused"),
    _count("timeout", "reads that timed out, appends that expired before they were sent"),
    _count("unknown", "appends that were sent and never answered"),
    _count("dropped", "operations past their deadline before they could start"),
    _count("unfinished", "operations still running when the drain ended"),
    Column("balanced", "bool", "", "scheduled is the sum of the seven outcomes"),
    Column("throughput_per_s", "float", "1/s", "operations that ended well, a second"),
    _count("events", "events appended or read by operations that ended well"),
    Column("events_per_s", "float", "1/s", "events a second"),
    _count("attempts", "appends sent, retries included"),
    _count("retries", "attempts after the first of their operation"),
    _count("conflicts", "attempts that ended in a conflict"),
    _count("versioned_appends", "operations whose acknowledged append had an expected version"),
    _count("decisions", "reads of what a rule is about, each with a decision, retries included"),
    _count("events_read", "events that they read for these decisions"),
    _count("false_conflicts", "conflicts after which nothing new mattered to the decision"),
    _count("compensations", "appends that took back an earlier one of their operation"),
    _count("unknown_attempts", "appends without an answer, of operations that went on after them"),
    _count("refused_attempts", "appends certainly not written, of operations that went on"),
    _count("appended_again", "appends sent once more with the same ids"),
    _count("settled_by_answer", "operations in doubt that the answer to a retry settled"),
    _count("settled_by_reading", "operations in doubt whose append was found by reading"),
    _count("settled_by_conflict", "appends in doubt in whose place there was somebody else's"),
    _count("own_conflicts", "found by reading after a retry that met their own first try"),
    _count("read_again", "reads before an append that failed and were repeated"),
    _count("given_up", "operations that ended at their deadline, without success"),
    Column("steady", "bool", "", "became steady while measured; empty with too few operations"),
    Column("steady_after_s", "float", "s", "0 where warm-up was long enough; empty for never"),
    Column("refusals", "json", "", "operations that an error ended, counted by its class"),
    Column("failure_message", "text", "", "class and first message of the most frequent one"),
    Column(
        "without_service_s",
        "float",
        "s",
        "operations waited and none was served, a second or longer",
    ),
    Column(
        "longest_unanswered_s", "float", "s", "longest wait of an operation that was never answered"
    ),
    Column("stalled_s", "float", "s", "the lab's own loops stood still, half a second or longer"),
    Column(
        "server_restarted", "bool", "", "the server ended, restarted or recovered while measured"
    ),
)

_RESPONSE = (
    "response time (done − intended) of all that an open run offered; infinite among operations"
    " that failed"
)

_TIMES = (
    *_spread("service", "service time (done − sent) of operations that ended well"),
    *_spread("response", _RESPONSE),
    *_delay("dispatch", "dispatched − intended, the generator's own lateness"),
    *_delay("queue", "sent − dispatched, waiting for a free place in flight"),
    *_spread("delivery", "acknowledged append to subscriber's handler"),
)

_VERDICTS = (
    Column("durability", "text", "", "durability class as configured; rankings stay inside one"),
    Column("guarantees", "json", "", "what the variant declares"),
    _key("verified", "text", "ok, findings, invalid, failed, impossible or off"),
    _count("violations", "violations in the verification"),
    _count("declared_violations", "those of them that break a declared guarantee"),
    _count("excused_violations", "those that its durability class allows after a crash"),
    _count("lost", "acknowledged events that are not in the log"),
    _count("written_twice", "copies of events beyond the first"),
    _count("written_though_refused", "events in the log whose append was refused for certain"),
    _count("refused_though_written", "appends in the log whose retry met a conflict"),
    Column("first_violation", "text", "", "stream, version and event id of the first one"),
    Column("violation_list", "json", "", "the first few, in words"),
    Column("keeps_rules", "bool", "", "the workload promises its rules; empty where it has none"),
    _count("rule_violations", "broken rules that the whole log shows after the trial"),
    Column("rules_broken", "json", "", "the same by rule, in words"),
    _key("valid", "bool", "done, balanced, and no declared guarantee or promised rule broken"),
    _count("unknown_written", "appends of unknown outcome that were written after all"),
    _count("unknown_lost", "appends of unknown outcome that were not written"),
    _count("judged_reads", "reads of a stream's end, where workload and store tell what they saw"),
    _count("stale_reads", "those that miss an append acknowledged before they began"),
    _ns("stale_p99_ns", "99th percentile of how long before; of stale reads, 10 lie beyond it"),
    _ns("stale_max_ns", "the longest"),
    _key(
        "flags",
        "json",
        "what a reader must know beside the numbers: a list of objects `code`, `values`",
    ),
)


def _each(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "float", f"{unit}/event", f"{meaning}, for each event appended or read")


_COSTS = (
    _each("generator_cpu_per_event_us", "µs", "CPU time of the load generator"),
    _each("generator_kernel_per_event_us", "µs", "of it, that in the kernel"),
    _each(
        "driver_cpu_per_event_us", "µs", "of the rest, the driver's: `eslab calibrate --drivers`"
    ),
    Column("driver_share", "float", "", "a bare loop's share of the client CPU of a lab's append"),
    Column("driver_unknown", "text", "", "why the driver's part is not known, or what measures it"),
    _each("server_cpu_per_event_us", "µs", "CPU time of the server's processes"),
    _each("log_bytes_per_event", "bytes", "write-ahead log or log segments, no full-page images"),
    _each("full_page_bytes_per_event", "bytes", "full-page images in the write-ahead log"),
    _each("data_bytes_per_event", "bytes", "growth of tables and indexes"),
    _each("commits_per_event", "count", "transactions committed"),
    _each("syncs_per_event", "count", "times that the log was forced to disk"),
    _each("round_trips_per_event", "count", "calls to the server"),
    _each("read_units_per_event", "units", "read units that the server says it consumed"),
    _each("write_units_per_event", "units", "write units that the server says it consumed"),
    _each(
        "write_units_by_rule_per_event",
        "units",
        "write units by the service's rule, failed conditions too",
    ),
    Column("disk_before_bytes", "int", "bytes", "server's data folder before the measured window"),
    Column("disk_after_bytes", "int", "bytes", "server's data folder after it"),
    Column("data_after_bytes", "int", "bytes", "tables and indexes after it"),
    Column("data_compacted_bytes", "int", "bytes", "the same after the store's own compaction"),
    Column("costs", "json", "", "all that was counted while measuring, by name, not divided"),
    Column(
        "counts_reset", "text", "", "counts that began anew while measuring, so are missing: names"
    ),
)

_SURROUNDINGS = (
    Column("provider", "text", "", "where the server came from: none, native, docker, external"),
    Column("server_version", "text", "", "the server's own version"),
    Column("added_rtt_ms", "float", "ms", "delay added to each round trip to the server"),
    Column("settings", "json", "", "durability settings read back from the server"),
    Column("emulator", "text", "", "a sentence to show where the store stands in for a service"),
    Column("processes", "int", "", "worker processes that shared the load"),
    Column("generator_cores", "text", "", "cores that the generator could use: 0-2,5"),
    Column("server_cores", "text", "", "the same of the server; empty without one, or elsewhere"),
    Column("generator_cpu_s", "float", "s", "CPU time of the load generator while measuring"),
    Column("busiest_worker_cpu_s", "float", "s", "of it, that of the busiest worker process"),
    Column("server_cpu_s", "float", "s", "CPU time of the server's processes while measuring"),
    Column("pacer", "text", "", "what timed the intended starts"),
    Column("loop", "text", "", "event loop: asyncio or uvloop"),
)

TRIALS: tuple[Column, ...] = (
    *_IDENTITY,
    _key("status", "text", "done, aborted, failed, unsupported or no-server"),
    Column("message", "text", "", "why it is not done, in one line"),
    *_COUNTS,
    *_TIMES,
    *_VERDICTS,
    *_COSTS,
    *_SURROUNDINGS,
)

_EXPECTED = ", ".join(
    ["expected version: exact", *(f"−{-code} {state.name}" for state, code in CODES.items())]
)

SAMPLES: tuple[Column, ...] = (
    _key("op", "int", "number of the operation from 0; −1 prefill, −2 warm-up"),
    _key("worker", "int", "client that ran it, from 0"),
    _key("intended_ns", "int", "when it was to start", "ns"),
    _key("dispatched_ns", "int", "when the generator handed it to a client", "ns"),
    _key("sent_ns", "int", "when the client began", "ns"),
    _key("done_ns", "int", "when it ended", "ns"),
    _key("outcome", "int", "code of harness.domain.outcome.Outcome"),
    _key("attempts", "int", "appends sent", "count"),
    _key("events", "int", "events appended or read", "count"),
    _key("stream", "int", "number of its last acknowledged append's stream; −1 without one"),
    _key("first", "int", "sequence number of that append's first event; −1 without one"),
    _key("count", "int", "events in that append", "count"),
    _key("expected", "int", _EXPECTED),
    _key("version", "int", "version of its last event; −1 if none was acknowledged or returned"),
)

APPENDS: tuple[Column, ...] = (
    _key("op", "int", "operation that it belongs to; −1 prefill, −2 warm-up"),
    _key("stream", "int", "number of the stream"),
    _key("first", "int", "sequence number of its first event"),
    _key("count", "int", "events in the append", "count"),
    _key("expected", "int", _EXPECTED),
    _key("version", "int", "version of its last event; −1 if not acknowledged or returned"),
    _key("outcome", "int", "code of harness.domain.outcome.Outcome"),
    _key("ended_ns", "int", "when the answer came", "ns"),
)

DELIVERIES: tuple[Column, ...] = (
    _key("subscriber", "int", "number of the subscriber, from 0"),
    _key("event", "int", "sequence number of the event; −1 for one that is not of this trial"),
    _key("stream", "int", "number of the event's stream"),
    _key("version", "int", "version of the event"),
    _key("handled_ns", "int", "when the handler had it", "ns"),
)

READS: tuple[Column, ...] = (
    _key("op", "int", "operation that it belongs to; −2 warm-up"),
    _key("stream", "int", "number of the stream whose end was read"),
    _key("began_ns", "int", "when the read began", "ns"),
    _key("version", "int", "version of the newest event that it showed; −1 for none"),
)

INTERVALS: tuple[Column, ...] = (
    _key("trial_id", "text", "the trial"),
    _key("key", "text", "canonical name of the store"),
    _key("second", "int", "second of the measurement, from 0"),
    _key("length_s", "float", "1; the last row of a trial has the rest", "s"),
    _count("ok", "operations that ended well in it"),
    _count("conflict", "operations whose outcome was a conflict"),
    _count("failed", "operations with any other outcome"),
    _count("in_flight", "operations sent and not ended at its end"),
    _ns("service_p50_ns", "median service time of the operations that ended well in it"),
    _ns("service_p99_ns", "99th percentile of it; empty with fewer than 100 samples beyond"),
    _ns("service_max_ns", "longest service time in it"),
    Column("fault", "text", "", "the faults under way in it"),
    Column("generator_cpu_s", "float", "s", "CPU time of the generator's process"),
    Column("server_cpu_s", "float", "s", "CPU time of the server's processes"),
    Column("server_memory_bytes", "int", "bytes", "memory of the server's processes at its end"),
    Column("server_disk_bytes", "int", "bytes", "data folder of the server at its end"),
)

FAULTS: tuple[Column, ...] = (
    _key("trial_id", "text", "the trial"),
    _key("key", "text", "canonical name of the store"),
    _key("number", "int", "place among the trial's faults, from 1"),
    _key("fault", "text", "what broke: kill server, pause server, cut network, …"),
    _key("at_s", "float", "when it was to begin, after the start of the measurement", "s"),
    Column("for_s", "float", "s", "how long it was to last; empty for one that does not"),
    Column("rtt_ms", "float", "ms", "added to a round trip by a slow network"),
    _key("carried_out", "bool", "it happened and was taken back"),
    Column("why_not", "text", "", "why it was not reached, or what failed"),
    Column("began_s", "float", "s", "when it began"),
    Column("ended_s", "float", "s", "when taking it back began: a killed server starts again"),
    Column("back_s", "float", "s", "when it was taken back: a killed server answers again"),
    _count("conflict", "operations that ended in a conflict, from its begin to the next fault's"),
    _count("refused", "likewise, refused"),
    _count("timeout", "likewise, timed out with nothing sent"),
    _count("unknown", "likewise, with an unknown outcome"),
    _count("dropped", "likewise, past their deadline before they could start"),
    _count("unfinished", "likewise, still running at the end"),
    Column(
        "silent_s",
        "float",
        "s",
        "longest time without an acknowledgement, from its begin on",
    ),
    Column("first_ok_s", "float", "s", "from ended_s to the first acknowledgement"),
    Column("restored_s", "float", "s", "from ended_s to 90 % of the rate before, for a second"),
    _count("due_during", "operations due while it lasted; open runs only"),
    _count("failed_during", "those of them without an answer"),
    _ns("response_p99_during_ns", "99th percentile of their response times; 10 lie beyond it"),
    _count("due_after", "operations due from ended_s to the next fault; open runs only"),
    _count("failed_after", "those of them without an answer"),
    _ns("response_p99_after_ns", "99th percentile of their response times; 10 lie beyond it"),
    _count("backlog_max", "most operations that were due and not ended; open runs only"),
    Column("drained_s", "float", "s", "from ended_s until the backlog was as small as before"),
    _count("connections", "connections made anew, where the path or the adapter can say"),
    Column("delivery_gap_s", "float", "s", "longest time in which a subscriber received nothing"),
    _count("delivered_again", "deliveries of events that a subscriber had received before"),
    _count("lost", "events acknowledged before its end and not in the log; by the fault to blame"),
    Column(
        "evidence",
        "text",
        "",
        "which clients had the acknowledgements of the first of them, and when",
    ),
)

PROBES: tuple[Column, ...] = (
    _key("trial_id", "text", "the trial whose rate was looked for"),
    _key("key", "text", "canonical name of the store"),
    _key("purpose", "text", "capacity: a closed loop; search: a rate that may hold"),
    Column("workers", "int", "count", "clients in a closed probe"),
    Column("rate_per_s", "float", "1/s", "offered rate in an open one"),
    Column("held", "bool", "", "whether the objective held; searches only"),
    Column("measured_s", "float", "s", "length of the measured window"),
    _count("scheduled", "operations that were to run"),
    _count("ok", "operations that ended well"),
    Column("throughput_per_s", "float", "1/s", "operations that ended well, a second"),
    _ns("response_p50_ns", "median response time; searches only"),
    Column("failed_share", "float", "", "operations that failed, of those scheduled"),
    Column(
        "slow_share",
        "float",
        "",
        "operations over the objective's last limit, failed ones with them",
    ),
)
