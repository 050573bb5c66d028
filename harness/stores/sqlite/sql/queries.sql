-- name: head_version
SELECT max(version) FROM events WHERE stream = ?;

-- name: head_position
SELECT coalesce(max(position), 0) FROM events;

-- name: by_id
SELECT stream, version, position, type, data, metadata FROM events WHERE id = ?;

-- name: insert
INSERT INTO events (position, stream, version, id, type, data, metadata, recorded_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: stream_forwards
SELECT id, stream, version, position, type, data, metadata, recorded_us
FROM events WHERE stream = ? AND version BETWEEN ? AND ? ORDER BY version;

-- name: stream_backwards
SELECT id, stream, version, position, type, data, metadata, recorded_us
FROM events WHERE stream = ? AND version BETWEEN ? AND ? ORDER BY version DESC;

-- name: log
SELECT id, stream, version, position, type, data, metadata, recorded_us
FROM events WHERE position BETWEEN ? AND ? ORDER BY position;

-- name: load_checkpoint
SELECT position FROM checkpoints WHERE subscriber = ?;

-- name: save_checkpoint
INSERT INTO checkpoints (subscriber, position) VALUES (?, ?)
ON CONFLICT (subscriber) DO UPDATE SET position = excluded.position;

-- name: load_snapshot
SELECT stream, version, data FROM snapshots WHERE stream = ?;

-- name: save_snapshot
INSERT INTO snapshots (stream, version, data) VALUES (?, ?, ?)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, data = excluded.data
WHERE excluded.version > snapshots.version;

-- name: tamper_update
UPDATE events SET data = ? WHERE stream = ? AND version = ?;

-- name: tamper_replace
INSERT OR REPLACE INTO events
SELECT position, stream, version, id, type, ?, metadata, recorded_us
FROM events WHERE stream = ? AND version = ?;

-- name: tamper_delete
DELETE FROM events WHERE stream = ? AND version = ?;
