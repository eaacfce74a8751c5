-- Since when a channel is on air beyond its client's plan; it goes off air after the grace, however often it is restarted meanwhile.
CREATE TABLE over_limit_channels (
    channel_id  uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    since       timestamptz NOT NULL
);
