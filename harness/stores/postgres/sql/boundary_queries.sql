-- name: boundary
-- One row without an event where there is none; `newest` is null in an empty log.
SELECT id, stream, version, tx, position, type, data, metadata, recorded_at, tags, seen, newest
FROM (
    SELECT pg_current_snapshot()::text AS seen,
        (SELECT tx FROM events ORDER BY tx DESC, position DESC LIMIT 1) AS newest
) AS state
LEFT JOIN boundary($1::text::jsonb, $2::text::pg_snapshot, $3::text::pg_snapshot, $4, $5, $6) ON true
ORDER BY tx, position

-- name: tags
SELECT outcome, version, tx, position FROM append_by_tags(
    $1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7::text::pg_snapshot, $8, $9, $10
)

-- name: one
SELECT outcome, version, tx, position FROM append_by_turns(
    $1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7::text::pg_snapshot, $8, $9, $10
)

-- name: serializable
CALL append_serializably(
    $1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7::text::pg_snapshot, $8, $9, $10
)
