-- Beside the schema of streams: what tagged events are about. A tagged event's version is its
-- position, so that the key of streams orders them too.

CREATE TABLE IF NOT EXISTS tags (
    tag      TEXT    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_event ON tags (position, tag);
CREATE INDEX IF NOT EXISTS tagged_by_type ON events (type, position) WHERE stream = '$tagged';

CREATE TRIGGER IF NOT EXISTS tags_are_never_changed BEFORE UPDATE ON tags
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER IF NOT EXISTS tags_are_never_deleted BEFORE DELETE ON tags
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
