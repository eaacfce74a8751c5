-- Since when a client uses more than its plan allows: what is on air beyond it goes off air after the grace.
CREATE TABLE over_limits (
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    limit_name  text NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (client_id, limit_name)
);
