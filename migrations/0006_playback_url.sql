-- Where a destination can be watched, and how the stream is made for it. What no row has yet is in no digest, so
-- the digests of before stay right.

ALTER TABLE rtmp_destinations
    ADD COLUMN playback_url text,
    ADD COLUMN encode jsonb,
    ADD COLUMN allow_lower_quality boolean NOT NULL DEFAULT false;
ALTER TABLE rtmp_destinations
    ALTER COLUMN allow_lower_quality DROP DEFAULT;
