-- Write a batch by comparing and setting the version in the row of its stream.

CREATE :persistence TABLE streams (
    stream  text COLLATE "C" PRIMARY KEY,
    version bigint  -- of the last event; null until there is one
);

CREATE FUNCTION write_events(
    p_stream text, p_expected bigint,
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[]
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head bigint;
BEGIN
    SELECT version INTO head FROM streams WHERE stream = p_stream FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO streams (stream) VALUES (p_stream) ON CONFLICT DO NOTHING;
        SELECT version INTO head FROM streams WHERE stream = p_stream FOR UPDATE;
    END IF;
    IF EXISTS (SELECT FROM events WHERE id = ANY (p_ids)) THEN
        RETURN repeated(p_stream, p_ids, p_types, p_data, p_metadata);
    END IF;
    IF NOT as_expected(p_expected, head) THEN
        RETURN ('conflict', head, NULL, NULL)::appended;
    END IF;
    UPDATE streams SET version = coalesce(head, -1) + cardinality(p_ids) WHERE stream = p_stream;
    INSERT INTO events (stream, version, id, type, data, metadata)
        SELECT p_stream, coalesce(head, -1) + place, id, type, data, metadata
        FROM unnest(p_ids, p_types, p_data, p_metadata) WITH ORDINALITY
            AS new (id, type, data, metadata, place)
        ORDER BY place;
    RETURN (
        'written', coalesce(head, -1) + cardinality(p_ids), pg_current_xact_id(), lastval()
    )::appended;
END $$;
