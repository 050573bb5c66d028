-- Tagged events beside the streams' in one log, and appends that are conditional on a query.
-- A tagged event is in no stream, and its version is its position.
--
-- An item of a query reads by one of its keys and looks at the rest of it in the events that it
-- finds: by its rarest tag, or by each of its types where it has no tags. The items come as
-- [{"key", "types", "tags"}], the key being the first tag's; with the empty key there is one:
-- everything.
--
-- The keys are rows and not an array with an inverted index, which needs less room (21 MB instead of
-- 36 MB for 42,000 events of two tags) but cannot begin behind a place. So a look at a tag of 4,000
-- events took 5 ms instead of 1 ms, and ever longer; reading the log's end instead took 3 ms where
-- 800 appends had come in between, and is a conflict with each of them under SERIALIZABLE.

ALTER TABLE events ADD COLUMN tags text[];  -- null for an event of a stream

CREATE :persistence TABLE tagged (
    key      text COLLATE "C" NOT NULL,  -- t:<tag> or y:<type>
    tx       xid8 NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (key, tx, position)
);

CREATE TRIGGER tagged_keep_rows BEFORE UPDATE OR DELETE ON tagged
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tagged_keep_table BEFORE TRUNCATE ON tagged
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The key of the tag that the fewest events behind a place have. Nobody counts a common tag whole:
-- all are counted up to a bound, and to ten times as much until one has fewer.
CREATE FUNCTION rarest_key(p_tags text[], p_tx xid8, p_position bigint) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    bound  bigint := 64;
    rarest record;
BEGIN
    LOOP
        SELECT 't:' || tag AS key, events INTO rarest
        FROM unnest(p_tags) WITH ORDINALITY AS of_item (tag, place)
        CROSS JOIN LATERAL (
            SELECT count(*) AS events FROM (
                SELECT FROM tagged
                WHERE key = 't:' || tag AND (tx, position) > (p_tx, p_position) LIMIT bound
            ) AS found
        ) AS counted
        ORDER BY events, place LIMIT 1;
        IF rarest.events < bound THEN
            RETURN rarest.key;
        END IF;
        bound := bound * 10;
    END LOOP;
END $$;

-- The boundary's events behind a place in the order of transactions that are not visible in the
-- snapshot `p_low`, and are in `p_high`; null for all of them. What was still in flight at the time
-- of `p_low` is behind it as well, so a state that was read is a snapshot and not a position.
-- STABLE: it sees what the statement sees that calls it, whose own snapshot is the next state.
CREATE FUNCTION boundary(
    p_items jsonb, p_low pg_snapshot, p_high pg_snapshot,
    p_tx xid8, p_position bigint, p_limit bigint
) RETURNS SETOF events LANGUAGE plpgsql STABLE AS $$
DECLARE
    -- All that is below was complete at the time of the snapshot. One pair of values, because an
    -- index would begin at one of two bounds, and not always at the higher one.
    first_tx       xid8   := greatest(p_tx, pg_snapshot_xmin(p_low));
    first_position bigint := CASE WHEN first_tx > p_tx THEN 0 ELSE p_position END;
BEGIN
    IF p_items -> 0 ->> 'key' = '' THEN
        RETURN QUERY
            SELECT * FROM events
            WHERE (tx, position) > (first_tx, first_position) AND stream = '$tagged'
                AND (p_low IS NULL OR NOT pg_visible_in_snapshot(tx, p_low))
                AND (p_high IS NULL OR pg_visible_in_snapshot(tx, p_high))
            ORDER BY tx, position LIMIT p_limit;
        RETURN;
    END IF;
    -- OFFSET 0 keeps the order of the joins: plans are made while the tables are empty.
    RETURN QUERY
        SELECT DISTINCT ON (event.tx, event.position) event.*
        FROM (
            SELECT types, tags, CASE
                WHEN cardinality(tags) > 1 THEN rarest_key(tags, first_tx, first_position) ELSE key
            END AS key
            FROM jsonb_to_recordset(p_items) AS given (key text, types text[], tags text[])
            OFFSET 0
        ) AS item
        CROSS JOIN LATERAL (
            SELECT tx, position FROM tagged
            WHERE key = item.key AND (tx, position) > (first_tx, first_position)
                AND (p_low IS NULL OR NOT pg_visible_in_snapshot(tx, p_low))
                AND (p_high IS NULL OR pg_visible_in_snapshot(tx, p_high))
            OFFSET 0
        ) AS place
        CROSS JOIN LATERAL (
            SELECT * FROM events WHERE tx = place.tx AND position = place.position OFFSET 0
        ) AS event
        WHERE (item.types = '{}' OR event.type = ANY (item.types)) AND event.tags @> item.tags
        ORDER BY event.tx, event.position LIMIT p_limit;
END $$;

-- The events to write, in their order.
CREATE FUNCTION new_events(
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[], p_tags jsonb
) RETURNS TABLE (
    place bigint, id uuid, type text, data :payload, metadata :payload, tags text[], keys text[]
) LANGUAGE sql STABLE AS $$
    SELECT place, id, type, data, metadata, tags,
           array_prepend('y:' || type, ARRAY(SELECT 't:' || tag FROM unnest(tags) AS tag))
    FROM unnest(p_ids, p_types, p_data, p_metadata) WITH ORDINALITY
        AS new (id, type, data, metadata, place)
    CROSS JOIN LATERAL (
        SELECT ARRAY(SELECT DISTINCT jsonb_array_elements_text(p_tags -> (place - 1)::int)) AS tags
    ) AS of_event
    ORDER BY place
$$;

-- At least one of these ids is known: an exact retry gets the first call's answer. Positions of one
-- append may have gaps, so its events are those of one transaction with none between them.
CREATE FUNCTION repeated_tagged(
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[], p_tags jsonb
) RETURNS appended LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN known = given AND same AND transactions = 1 AND in_order
            AND given = (SELECT count(*) FROM events
                         WHERE events.tx = found.tx AND position BETWEEN first AND last)
        THEN ('repeated', last, tx, last)::appended
        ELSE ('reused', NULL, NULL, NULL)::appended
    END
    FROM (
        SELECT count(*) AS given, count(old.id) AS known, count(DISTINCT old.tx) AS transactions,
            (array_agg(old.tx))[1] AS tx, min(old.position) AS first, max(old.position) AS last,
            bool_and(old.stream = '$tagged' AND old.type = new.type AND old.data = new.data
                     AND old.metadata IS NOT DISTINCT FROM new.metadata
                     AND old.tags @> new.tags AND old.tags <@ new.tags) AS same,
            array_agg(old.id ORDER BY old.position) = p_ids AS in_order
        FROM new_events(p_ids, p_types, p_data, p_metadata, p_tags) AS new
        LEFT JOIN events AS old USING (id)
    ) AS found
$$;

-- Look, and write unless something matches. Ids are looked up only where that answers something
-- (`p_known`: the key of ids has refused them): SERIALIZABLE would take each look for a conflict with
-- every writer of a nearby id.
CREATE FUNCTION write_tagged(
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[], p_tags jsonb,
    p_items jsonb, p_low pg_snapshot, p_tx xid8, p_position bigint, p_known boolean
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    violated boolean;
BEGIN
    violated := p_items IS NOT NULL
        AND EXISTS (SELECT FROM boundary(p_items, p_low, NULL, p_tx, p_position, 1));
    IF (violated OR p_known) AND EXISTS (SELECT FROM events WHERE id = ANY (p_ids)) THEN
        RETURN repeated_tagged(p_ids, p_types, p_data, p_metadata, p_tags);
    END IF;
    IF violated THEN
        RETURN ('violated', NULL, NULL, NULL)::appended;
    END IF;
    WITH new AS MATERIALIZED (
        SELECT nextval('events_position_seq') AS position, given.*
        FROM new_events(p_ids, p_types, p_data, p_metadata, p_tags) AS given
    ), written AS (
        INSERT INTO events (position, stream, version, id, type, data, metadata, tags)
            SELECT position, '$tagged', position, id, type, data, metadata, tags FROM new
    )
    INSERT INTO tagged (key, tx, position)
        SELECT key, pg_current_xact_id(), position FROM new, unnest(keys) AS key;
    RETURN ('written', lastval(), pg_current_xact_id(), lastval())::appended;
END $$;

-- lock=tags. Appends that may hit each other take turns; others do not wait.
--
-- An event holds the keys of all that it is, shared: each of its tags, its type, and the key of
-- everything. A condition holds a key of each of its items, exclusively: the first tag of an
-- item, each type of one without tags, the key of everything for one of neither. Whatever an item
-- matches has the item's first tag, or one of its types, and is part of everything: so an event and
-- a condition that excludes it meet at one key in modes that exclude each other, however the
-- condition is worded. Which of several tags a condition takes does not matter for that, and two
-- conditions need not meet: only what one of them writes can hit the other. Events never wait for
-- events, also where all of them have the same tag or type.
--
-- Each key is taken once, in its strongest mode, and all appends take them in one order: without
-- that two of them could wait for each other. Locks are the database's, and by 64 bits of a key: the
-- table's own number keeps schemas apart, and two keys with the same bits only wait more often.
--
-- As in `append`, locks come before the transaction has an id, and in a statement of their own, so
-- that the look that follows has a snapshot from after them.
CREATE FUNCTION append_by_tags(
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[], p_tags jsonb,
    p_items jsonb, p_low pg_snapshot, p_tx xid8, p_position bigint, p_known boolean
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF out_of_place() THEN
        RAISE EXCEPTION 'an append must be the first write of a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM CASE WHEN alone THEN pg_advisory_xact_lock(lock) ELSE pg_advisory_xact_lock_shared(lock) END
    FROM (
        SELECT hashtextextended(key, 'tagged'::regclass::oid::bigint) AS lock, bool_or(alone) AS alone
        FROM (
            SELECT key, false AS alone
            FROM new_events(p_ids, p_types, p_data, p_metadata, p_tags), unnest(array_prepend('', keys)) AS key
            UNION ALL
            SELECT key, true FROM jsonb_to_recordset(p_items) AS item (key text)
        ) AS held
        GROUP BY 1 ORDER BY 1
    ) AS turns;
    RETURN write_tagged(
        p_ids, p_types, p_data, p_metadata, p_tags, p_items, p_low, p_tx, p_position, p_known
    );
END $$;

-- lock=one. All tagged appends take turns.
CREATE FUNCTION append_by_turns(
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[], p_tags jsonb,
    p_items jsonb, p_low pg_snapshot, p_tx xid8, p_position bigint, p_known boolean
) RETURNS appended LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF out_of_place() THEN
        RAISE EXCEPTION 'an append must be the first write of a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock('tagged'::regclass::oid::bigint);
    RETURN write_tagged(
        p_ids, p_types, p_data, p_metadata, p_tags, p_items, p_low, p_tx, p_position, p_known
    );
END $$;

-- lock=serializable. No locks: the server finds out what could not have happened in a row.
-- A procedure may begin a transaction of its own, so that the append is one round trip; the empty
-- one before it is rolled back and not committed, because commits are counted.
CREATE PROCEDURE append_serializably(
    p_ids uuid[], p_types text[], p_data :payload[], p_metadata :payload[], p_tags jsonb,
    p_items jsonb, p_low pg_snapshot, p_tx xid8, p_position bigint, p_known boolean,
    INOUT outcome text DEFAULT NULL, INOUT version bigint DEFAULT NULL,
    INOUT tx xid8 DEFAULT NULL, INOUT "position" bigint DEFAULT NULL
) LANGUAGE plpgsql AS $$
BEGIN
    ROLLBACK;
    SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
    SELECT answer.* INTO outcome, version, tx, "position" FROM write_tagged(
        p_ids, p_types, p_data, p_metadata, p_tags, p_items, p_low, p_tx, p_position, p_known
    ) AS answer;
END $$;
