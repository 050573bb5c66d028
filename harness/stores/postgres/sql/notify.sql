-- Tell whoever listens on the channel named like the schema that something was appended.

CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(tg_table_schema, '');
    RETURN NULL;
END $$;

CREATE TRIGGER events_announce AFTER INSERT ON events
    FOR EACH STATEMENT EXECUTE FUNCTION announce();
