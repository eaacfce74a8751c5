-- What really went out, and what was planned and did not.

CREATE TABLE as_run (
    channel_id   uuid NOT NULL,
    id           uuid NOT NULL,
    missing      boolean NOT NULL,
    from_at      timestamptz NOT NULL,
    until_at     timestamptz NOT NULL,
    first_frame  bigint NOT NULL,
    frames       bigint NOT NULL,
    kind         text NOT NULL,
    media_id     uuid,
    title        text,
    item_frame   bigint,
    encoded      bigint NOT NULL,
    planned      jsonb,
    reason       text NOT NULL,
    detail       text,
    asked_by     text,
    ended        text,
    PRIMARY KEY (channel_id, id)
);
CREATE INDEX as_run_until ON as_run USING brin (until_at);
