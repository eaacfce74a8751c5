-- Where a client wants events to be told, and one row for each telling.
CREATE TABLE webhooks (
    id                uuid PRIMARY KEY,
    client_id         uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    all_clients       boolean NOT NULL,
    url               text NOT NULL,
    events            text[] NOT NULL CHECK (cardinality(events) > 0),
    channel_id        uuid,
    selector          text,
    enabled           boolean NOT NULL,
    description       text NOT NULL,
    disabled_reason   text,
    secret            bytea NOT NULL,
    old_secret        bytea,
    old_secret_until  timestamptz,
    failures          bigint NOT NULL DEFAULT 0,
    failing_since     timestamptz,
    left_alone_until  timestamptz,
    leased_by         uuid,
    leased_until      timestamptz,
    version           bigint NOT NULL CHECK (version > 0),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
    CHECK (channel_id IS NULL OR selector IS NULL)
);
CREATE INDEX webhooks_client ON webhooks (client_id, id);
CREATE TABLE webhook_deliveries (
    id            uuid PRIMARY KEY,
    webhook_id    uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    client_id     uuid NOT NULL,
    event_id      text NOT NULL,
    event         text NOT NULL,
    channel_id    uuid,
    body          text NOT NULL,
    state         text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts      bigint NOT NULL,
    next_at       timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    attempted_at  timestamptz,
    finished_at   timestamptz,
    status        integer,
    error         text,
    answer        text,
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE state <> 'pending';
