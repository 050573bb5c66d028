-- Whether the server has the settings that this connection was opened with; :asked are pairs of a
-- name and a value. Sent as it is, without preparing: a pooler would keep the prepared statement.

DO $confirm$ DECLARE others text; BEGIN
    SELECT string_agg(format('%s = %L is %L', name, value, current_setting(name)), ', ') INTO others
    FROM (VALUES :asked) AS asked (name, value)
    WHERE current_setting(name) <> value;
    IF others IS NOT NULL THEN
        RAISE EXCEPTION '%', others USING ERRCODE = 'ESLAB';
    END IF;
END $confirm$;
