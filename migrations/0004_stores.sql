-- What the daemon needs to come through an outage of this database.

-- One row, written to find out whether the database takes anything.
CREATE TABLE pulse (
    id  boolean PRIMARY KEY CHECK (id),
    at  timestamptz NOT NULL
);

-- Orders to channels that this database has: one that was given while it was away, and is brought to it
-- afterwards, counts once, however often it is brought.
CREATE TABLE orders (
    id  uuid PRIMARY KEY,
    at  timestamptz NOT NULL
);

-- Heartbeats that were lost because no store took them: one row for each run of a daemon that lost any.
CREATE TABLE telemetry_losses (
    run    uuid PRIMARY KEY,
    since  timestamptz NOT NULL,
    until  timestamptz NOT NULL,
    lost   bigint NOT NULL
);
