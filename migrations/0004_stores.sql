-- What the daemon needs to come through an outage of this database.

-- One row, written to find out whether the database takes anything.
CREATE TABLE pulse (
    id  boolean PRIMARY KEY CHECK (id),
    at  timestamptz NOT NULL
);
