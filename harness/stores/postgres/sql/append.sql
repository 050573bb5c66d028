-- One append in a transaction of its own. :lock is the statement that keeps other writers away.
--
-- The lock comes first and in a statement of its own: in one statement with the read of the head,
-- that read would use a snapshot from before the lock. It must also come before the transaction
-- has an id, else a later writer of the stream could hold the smaller one and the log, which is
-- ordered by it, would show the stream's events the wrong way round.

CREATE FUNCTION append(
    p_stream text, p_expected bigint,
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[]
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF out_of_place() THEN
        RAISE EXCEPTION 'an append must be the first write of a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    :lock;
    RETURN write_events(p_stream, p_expected, p_ids, p_types, p_data, p_metadata);
END $$;
