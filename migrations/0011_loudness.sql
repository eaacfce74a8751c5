-- How loud items are, measured before they are prepared, and how loud what was prepared of them has become. What was
-- prepared before sounds otherwise: it is not used any more.

ALTER TABLE media
    ADD COLUMN loudness jsonb NOT NULL DEFAULT '[]';
ALTER TABLE media
    ALTER COLUMN loudness DROP DEFAULT;

ALTER TABLE renditions
    ADD COLUMN loudness jsonb;
DELETE FROM renditions WHERE profile_key LIKE '%-v1';
