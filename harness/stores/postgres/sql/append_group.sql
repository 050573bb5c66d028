-- Many appends in one transaction, each with an answer of its own; they see each other's events.
-- `p_sizes` says how many of the events, in order, belong to each append.

CREATE FUNCTION append_group(
    p_streams text[], p_expected bigint[], p_sizes int[],
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[]
) RETURNS SETOF appended LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    first int := 1;
    last  int;
BEGIN
    IF out_of_place() THEN
        RAISE EXCEPTION 'an append must be the first write of a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    :lock;
    FOR member IN 1 .. cardinality(p_streams) LOOP
        last := first + p_sizes[member] - 1;
        RETURN NEXT write_events(
            p_streams[member], p_expected[member], p_ids[first:last], p_types[first:last],
            p_data[first:last], p_metadata[first:last]
        );
        first := last + 1;
    END LOOP;
END $$;
