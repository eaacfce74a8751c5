-- Where items of the library are damaged, as found while they are prepared. What was prepared before is not
-- looked at again.

ALTER TABLE media
    ADD COLUMN damage jsonb NOT NULL DEFAULT '[]';
ALTER TABLE media
    ALTER COLUMN damage DROP DEFAULT;
