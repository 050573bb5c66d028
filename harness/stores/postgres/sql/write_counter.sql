-- Write a batch with dense positions, taken from one row that every append updates.

CREATE :persistence TABLE log_head (position bigint NOT NULL);
INSERT INTO log_head VALUES (0);

CREATE FUNCTION write_events(
    p_stream text, p_expected bigint,
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[]
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    log_end bigint;
    head    bigint;
BEGIN
    SELECT position INTO log_end FROM log_head FOR UPDATE;
    IF EXISTS (SELECT FROM events WHERE id = ANY (p_ids)) THEN
        RETURN repeated(p_stream, p_ids, p_types, p_data, p_metadata);
    END IF;
    SELECT version INTO head FROM events WHERE stream = p_stream ORDER BY version DESC LIMIT 1;
    IF NOT as_expected(p_expected, head) THEN
        RETURN ('conflict', head, NULL, NULL)::appended;
    END IF;
    UPDATE log_head SET position = log_end + cardinality(p_ids);
    INSERT INTO events (position, stream, version, id, type, data, metadata)
        SELECT log_end + place, p_stream, coalesce(head, -1) + place, id, type, data, metadata
        FROM unnest(p_ids, p_types, p_data, p_metadata) WITH ORDINALITY
            AS new (id, type, data, metadata, place);
    RETURN (
        'written', coalesce(head, -1) + cardinality(p_ids), pg_current_xact_id(),
        log_end + cardinality(p_ids)
    )::appended;
END $$;
