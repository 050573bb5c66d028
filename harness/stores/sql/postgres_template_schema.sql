-- The tutorials' tables, as they stand in the tutorials.

CREATE :persistence TABLE events (
    id              uuid PRIMARY KEY,
    stream_id       text NOT NULL,
    stream_type     text NOT NULL,
    event_type      text NOT NULL,
    event_data      jsonb NOT NULL,
    metadata        jsonb,
    version         integer NOT NULL,
    global_position bigserial,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stream_id, version)
);
CREATE INDEX events_by_stream ON events (stream_id, version);
CREATE INDEX events_by_position ON events (global_position);
CREATE INDEX events_by_type ON events (event_type);
CREATE INDEX events_by_time ON events (created_at);

CREATE :persistence TABLE snapshots (
    stream_id  text PRIMARY KEY,
    version    integer NOT NULL,
    state      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE :persistence TABLE subscription_checkpoints (
    subscription_id text PRIMARY KEY,
    last_position   bigint NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now()
);
