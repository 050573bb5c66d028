-- Write a batch behind the head of its stream. Whoever calls holds what keeps others away from it.

CREATE FUNCTION write_events(
    p_stream text, p_expected bigint,
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[]
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head bigint;
BEGIN
    IF EXISTS (SELECT FROM events WHERE id = ANY (p_ids)) THEN
        RETURN repeated(p_stream, p_ids, p_types, p_data, p_metadata);
    END IF;
    SELECT version INTO head FROM events WHERE stream = p_stream ORDER BY version DESC LIMIT 1;
    IF NOT as_expected(p_expected, head) THEN
        RETURN ('conflict', head, NULL, NULL)::appended;
    END IF;
    INSERT INTO events (stream, version, id, type, data, metadata)
        SELECT p_stream, coalesce(head, -1) + place, id, type, data, metadata
        FROM unnest(p_ids, p_types, p_data, p_metadata) WITH ORDINALITY
            AS new (id, type, data, metadata, place)
        ORDER BY place;
    RETURN (
        'written', coalesce(head, -1) + cardinality(p_ids), pg_current_xact_id(), lastval()
    )::appended;
END $$;
