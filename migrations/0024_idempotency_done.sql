-- Of a request that was begun to be done without an entry of the audit that says to what: it is not done again.
ALTER TABLE idempotency_keys ADD COLUMN done boolean NOT NULL DEFAULT false;
