-- Alerts, the routes by which they are told, their deliveries, and what was done about failures.

CREATE TABLE alerts (
    id               uuid PRIMARY KEY,
    client_id        uuid NOT NULL,
    kind             text NOT NULL,
    subject          text NOT NULL,
    channel_id       uuid,
    name             text,
    detail           text NOT NULL,
    occurrences      bigint NOT NULL CHECK (occurrences > 0),
    reopened         bigint NOT NULL,
    opened_at        timestamptz NOT NULL,
    last_at          timestamptz NOT NULL,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    closed_at        timestamptz,
    told             boolean NOT NULL,
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE closed_at IS NULL;
CREATE INDEX alerts_client ON alerts (client_id, id);
CREATE INDEX alerts_channel ON alerts (channel_id, id);

CREATE TABLE alert_routes (
    id               uuid PRIMARY KEY,
    client_id        uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    type             text NOT NULL CHECK (type IN ('webhook', 'email')),
    target           text NOT NULL,
    secret           bytea,
    minimum          text NOT NULL CHECK (minimum IN ('info', 'warning', 'critical')),
    kinds            text[] NOT NULL,
    enabled          boolean NOT NULL,
    disabled_reason  text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((type = 'webhook') = (secret IS NOT NULL))
);
CREATE INDEX alert_routes_client ON alert_routes (client_id, id);

CREATE TABLE alert_deliveries (
    id           uuid PRIMARY KEY,
    route_id     uuid NOT NULL REFERENCES alert_routes ON DELETE CASCADE,
    client_id    uuid NOT NULL,
    alert_id     uuid NOT NULL,
    event        text NOT NULL,
    payload      jsonb NOT NULL,
    state        text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     bigint NOT NULL,
    next_at      timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    error        text
);
CREATE INDEX alert_deliveries_client ON alert_deliveries (client_id, id);
CREATE INDEX alert_deliveries_route ON alert_deliveries (route_id, id);
CREATE INDEX alert_deliveries_pending ON alert_deliveries (id) WHERE state = 'pending';

CREATE TABLE channel_history (
    id              uuid PRIMARY KEY,
    channel_id      uuid NOT NULL,
    at              timestamptz NOT NULL,
    failure         text NOT NULL,
    media_id        uuid,
    destination_id  uuid,
    error           text NOT NULL,
    action          text NOT NULL CHECK (action IN ('restart', 'fallback', 'escalate', 'ignore')),
    delay_us        bigint NOT NULL,
    attempt         bigint NOT NULL,
    max_attempts    bigint NOT NULL,
    fallback        text
);
CREATE INDEX channel_history_channel ON channel_history (channel_id, id);
CREATE INDEX channel_history_at ON channel_history USING brin (at);
