-- name: boundary
-- One row without an event where there is none.
SELECT id, stream, version, tx, position, type, data, metadata, recorded_at, tags, seen, anything
FROM (
    SELECT pg_current_snapshot()::text AS seen, EXISTS (SELECT FROM events) AS anything
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
