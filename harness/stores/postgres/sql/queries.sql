-- name: append
SELECT outcome, version, tx, position FROM append($1, $2, $3, $4, $5, $6)

-- name: append_one
-- One event needs no arrays on its way: 15 µs of client CPU less.
SELECT outcome, version, tx, position
FROM append($1, $2, ARRAY[$3::uuid], ARRAY[$4::text], ARRAY[CAST($5 AS :payload)], ARRAY[CAST($6 AS :payload)])

-- name: append_group
SELECT outcome, version, tx, position FROM append_group($1, $2, $3, $4, $5, $6, $7)

-- name: stream_head
SELECT version FROM events WHERE stream = $1 ORDER BY version DESC LIMIT 1

-- name: stream_forwards
SELECT id, stream, version, tx, position, type, data, metadata, recorded_at
FROM events WHERE stream = $1 AND version BETWEEN $2 AND $3 ORDER BY version LIMIT $4

-- name: stream_backwards
SELECT id, stream, version, tx, position, type, data, metadata, recorded_at
FROM events WHERE stream = $1 AND version BETWEEN $2 AND $3 ORDER BY version DESC LIMIT $4

-- name: log_by_transaction
-- Only transactions below the oldest one still running: nothing can appear among them any more.
SELECT id, stream, version, tx, position, type, data, metadata, recorded_at
FROM events
WHERE (tx, position) > ($1, $2)
    AND tx < least(pg_snapshot_xmin(pg_current_snapshot()), $3)
ORDER BY tx, position LIMIT $4

-- name: next_transaction
SELECT pg_snapshot_xmax(pg_current_snapshot())

-- name: delayed
SELECT tx, position FROM events
WHERE tx >= pg_snapshot_xmin(pg_current_snapshot()) AND tx < $1

-- name: now
-- The oldest running transaction, joined with the events of it and of later ones.
SELECT oldest, tx, position
FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest) AS snapshot
LEFT JOIN events ON tx >= oldest

-- name: log_by_position
SELECT id, stream, version, tx, position, type, data, metadata, recorded_at
FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3

-- name: head_position
SELECT coalesce(max(position), 0) FROM events

-- name: load_checkpoint
SELECT position FROM checkpoints WHERE subscriber = $1

-- name: save_checkpoint
INSERT INTO checkpoints VALUES ($1, $2)
ON CONFLICT (subscriber) DO UPDATE SET position = excluded.position

-- name: load_snapshot
SELECT stream, version, data FROM snapshots WHERE stream = $1

-- name: save_snapshot
INSERT INTO snapshots VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, data = excluded.data
WHERE snapshots.version < excluded.version

-- name: tamper_update
UPDATE events SET data = $3 WHERE stream = $1 AND version = $2

-- name: tamper_delete
DELETE FROM events WHERE stream = $1 AND version = $2

-- name: settings
SELECT name, coalesce(nullif(setting, ''), 'none') AS setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method', 'wal_level',
               'commit_delay', 'synchronous_standby_names', 'shared_buffers', 'max_connections',
               'transaction_isolation', 'data_sync_retry', 'wal_writer_delay')
UNION ALL
SELECT 'version', current_setting('server_version')
UNION ALL
SELECT 'system', coalesce(substring(version() FROM ' on ([^,]+)'), version())
UNION ALL
SELECT 'events_table',
       CASE relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' ELSE 'logged' END
FROM pg_class WHERE oid = to_regclass('events')

-- name: bystanders
-- Whoever in this database receives or follows everything that is made in it.
SELECT 'publication' AS kind, pubname::text AS name FROM pg_publication WHERE puballtables
UNION ALL
SELECT 'slot', slot_name::text FROM pg_replication_slots
WHERE slot_type = 'logical' AND database = current_database() AND plugin <> 'pgoutput'
UNION ALL
SELECT 'trigger', evtname::text FROM pg_event_trigger AS fired
WHERE evtenabled IN ('O', 'A') AND evtevent <> 'login' AND NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_event_trigger'::regclass AND objid = fired.oid AND deptype = 'e'
)
ORDER BY kind, name

-- name: namespaces
SELECT nspname AS name FROM pg_namespace WHERE starts_with(nspname, $1) ORDER BY nspname

-- name: make_walinspect
CREATE EXTENSION IF NOT EXISTS pg_walinspect

-- name: walinspect
-- Others may have created it, in another schema.
SELECT quote_ident(nspname) AS schema
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_walinspect'

-- name: flush_wal
-- A transaction that has written to the log waits for its end, and all before it, to be on disk;
-- one that only has a number does not.
SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'eslab', '')

-- name: end_of_wal
SELECT lsn::text, pg_wal_lsn_diff(lsn, '0/0')::bigint AS bytes FROM pg_current_wal_flush_lsn() AS lsn

-- name: flush_statistics
-- It reads a table: a connection that has used none does not report this commit either.
SELECT pg_stat_force_next_flush() FROM pg_class LIMIT 1

-- name: counts
-- A crash recovery drops all statistics and starts a new checkpointer, but no new postmaster. Only
-- shared statistics are told when they were reset by it; a role without rights sees no checkpointer.
SELECT
    (SELECT wal_fpi FROM pg_stat_wal) AS full_page_images,
    (SELECT extract(epoch FROM stats_reset) FROM pg_stat_wal) AS "full_page_images began",
    (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits,
    (SELECT extract(epoch FROM greatest(own.stats_reset, wal.stats_reset))
     FROM pg_stat_database own, pg_stat_wal wal
     WHERE own.datname = current_database()) AS "commits began",
    (SELECT extract(epoch FROM coalesce(max(backend_start), pg_postmaster_start_time()))
     FROM pg_stat_activity WHERE backend_type = 'checkpointer') AS "server began",
    (SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
     WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r') AS data_bytes

-- name: syncs
SELECT sum(fsyncs)::bigint AS syncs, extract(epoch FROM max(stats_reset)) AS "syncs began"
FROM pg_stat_io WHERE object = 'wal'

-- name: syncs_before_18
SELECT wal_sync AS syncs, extract(epoch FROM stats_reset) AS "syncs began" FROM pg_stat_wal

-- name: full_page_bytes
SELECT coalesce(sum(fpi_size), 0)::bigint AS bytes
FROM :schema.pg_get_wal_stats($1::text::pg_lsn, $2::text::pg_lsn)
