-- What a channel is to play is more than a rotation. A rotation that is stored stays as it is, and so do the digests:
-- it is read as a schedule that has nothing besides.

ALTER TABLE airtime RENAME COLUMN rotation TO schedule;
