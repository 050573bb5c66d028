-- name: head
SELECT max(version) FROM events WHERE stream_id = $1

-- name: insert
INSERT INTO events (id, stream_id, stream_type, event_type, event_data, metadata, version, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING global_position

-- name: stream_forwards
SELECT id, stream_id, version, global_position, event_type, event_data, metadata, created_at
FROM events WHERE stream_id = $1 AND version >= $2 ORDER BY version LIMIT $3

-- name: stream_backwards
SELECT id, stream_id, version, global_position, event_type, event_data, metadata, created_at
FROM events WHERE stream_id = $1 AND version >= $2 ORDER BY version DESC LIMIT $3

-- name: log
SELECT id, stream_id, version, global_position, event_type, event_data, metadata, created_at
FROM events WHERE global_position > $1 ORDER BY global_position LIMIT $2

-- name: head_position
SELECT coalesce(max(global_position), 0) FROM events

-- name: load_checkpoint
SELECT last_position FROM subscription_checkpoints WHERE subscription_id = $1

-- name: save_checkpoint
INSERT INTO subscription_checkpoints (subscription_id, last_position) VALUES ($1, $2)
ON CONFLICT (subscription_id) DO UPDATE SET last_position = excluded.last_position, updated_at = now()

-- name: load_snapshot
SELECT version, snapshot_data FROM snapshots WHERE stream_id = $1

-- name: save_snapshot
INSERT INTO snapshots (stream_id, stream_type, version, snapshot_data) VALUES ($1, $2, $3, $4)
ON CONFLICT (stream_id) DO UPDATE
SET version = excluded.version, snapshot_data = excluded.snapshot_data, created_at = now()

-- name: tamper_update
UPDATE events SET event_data = $3 WHERE stream_id = $1 AND version = $2

-- name: tamper_delete
DELETE FROM events WHERE stream_id = $1 AND version = $2
