-- The tutorials' tables.

CREATE :persistence TABLE events (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    stream_id       varchar(255) NOT NULL,
    stream_type     varchar(255) NOT NULL,
    event_type      varchar(255) NOT NULL,
    event_data      jsonb NOT NULL,
    metadata        jsonb DEFAULT '{}',
    version         bigint NOT NULL,
    global_position bigserial,
    created_at      timestamptz DEFAULT now(),
    UNIQUE (stream_id, version)
);
CREATE INDEX events_by_stream ON events (stream_id, version);
CREATE INDEX events_by_position ON events (global_position);
CREATE INDEX events_by_type ON events (event_type);
CREATE INDEX events_by_time ON events (created_at);

CREATE :persistence TABLE snapshots (
    stream_id     varchar(255) PRIMARY KEY,
    stream_type   varchar(255) NOT NULL,
    snapshot_data jsonb NOT NULL,
    version       bigint NOT NULL,
    created_at    timestamptz DEFAULT now()
);

CREATE :persistence TABLE subscription_checkpoints (
    subscription_id varchar(255) PRIMARY KEY,
    last_position   bigint NOT NULL DEFAULT 0,
    updated_at      timestamptz DEFAULT now()
);
