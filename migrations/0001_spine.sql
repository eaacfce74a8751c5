-- The spine: clients, tokens, channels with what they air, media, audit, heartbeats.

CREATE TABLE plans (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    limits      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE clients (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    plan_id     uuid NOT NULL REFERENCES plans,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tokens (
    id          uuid PRIMARY KEY,
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    scope       text NOT NULL CHECK (scope IN ('admin', 'client')),
    name        text NOT NULL,
    digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    created_at  timestamptz NOT NULL
);
CREATE INDEX tokens_client ON tokens (client_id);

CREATE TABLE channels (
    id                    uuid PRIMARY KEY,
    client_id             uuid NOT NULL REFERENCES clients,
    config                jsonb NOT NULL,
    version               bigint NOT NULL CHECK (version > 0),
    desired               text NOT NULL CHECK (desired IN ('STOPPED', 'LIVE')),
    status                text NOT NULL CHECK (status IN ('STOPPED', 'STARTING', 'LIVE', 'ERROR')),
    generation            bigint NOT NULL,
    uptime_us             bigint NOT NULL,
    live_since            timestamptz,
    restart_count         bigint NOT NULL,
    restarts_since_start  bigint NOT NULL,
    last_start_time       timestamptz,
    last_stop_time        timestamptz,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
);
CREATE INDEX channels_client ON channels (client_id);

CREATE TABLE rtmp_destinations (
    id          uuid PRIMARY KEY,
    channel_id  uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    position    integer NOT NULL,
    server_url  text NOT NULL,
    platform    text NOT NULL,
    enabled     boolean NOT NULL,
    stream_key  bytea
);
CREATE INDEX rtmp_destinations_channel ON rtmp_destinations (channel_id, position);

CREATE TABLE airtime (
    channel_id  uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    timeline    jsonb NOT NULL,
    plan        jsonb NOT NULL,
    rotation    jsonb NOT NULL,
    updated_at  timestamptz NOT NULL
);

CREATE TABLE media (
    id           uuid PRIMARY KEY,
    client_id    uuid NOT NULL REFERENCES clients,
    path         bytea NOT NULL,
    title        text NOT NULL,
    duration_us  bigint NOT NULL,
    size         bigint NOT NULL,
    probe        jsonb,
    status       text NOT NULL CHECK (status IN ('probing', 'refused', 'preparing', 'ready', 'failed')),
    reason       text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX media_path ON media (client_id, sha256(path));

CREATE TABLE renditions (
    id           uuid PRIMARY KEY,
    media_id     uuid NOT NULL REFERENCES media ON DELETE CASCADE,
    profile_key  text NOT NULL,
    profile      jsonb NOT NULL,
    frames       bigint NOT NULL,
    bytes        bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    UNIQUE (media_id, profile_key)
);

CREATE TABLE audit (
    client_id     uuid NOT NULL,
    seq           bigint NOT NULL,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    token_id      uuid,
    operation     text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    uuid NOT NULL,
    detail        json NOT NULL,
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (client_id, seq)
);

CREATE TABLE audit_heads (
    client_id  uuid PRIMARY KEY,
    seq        bigint NOT NULL,
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE TABLE heartbeats (
    channel_id    uuid NOT NULL,
    at            timestamptz NOT NULL,
    status        text NOT NULL,
    uptime_us     bigint NOT NULL,
    last_segment  timestamptz,
    segments      bigint NOT NULL,
    bitrate       bigint NOT NULL,
    restarts      bigint NOT NULL,
    processes     jsonb NOT NULL,
    PRIMARY KEY (channel_id, at)
);
CREATE INDEX heartbeats_at ON heartbeats USING brin (at);
