-- name: everything
SELECT position FROM events WHERE stream = '$tagged' AND version > ?

-- name: of_types
SELECT position FROM events WHERE stream = '$tagged' AND position > ? AND type IN (:types)

-- name: count_of_tag
SELECT count(*) FROM (SELECT 1 FROM tags WHERE tag = ? AND position > ? LIMIT ?)

-- name: of_tag
-- Of an item's tags the rarest one leads, and the others are looked up.
SELECT position FROM tags AS found WHERE tag = ? AND position > ?

-- name: and_tag
AND EXISTS (SELECT 1 FROM tags WHERE tag = ? AND position = found.position)

-- name: and_types
AND EXISTS (SELECT 1 FROM events WHERE position = found.position AND type IN (:types))

-- name: boundary
SELECT id, stream, version, position, type, data, metadata, recorded_us
FROM events WHERE position IN (:found) AND position <= ? ORDER BY position LIMIT ?

-- name: tags_of
SELECT tag FROM tags WHERE position = ?

-- name: insert_tag
INSERT INTO tags (tag, position) VALUES (?, ?)
