-- The same for words: a search for what many words begin with was taken for a rare one, and all that it finds was sorted
-- in the place of walking along the newest items.
ALTER TABLE media ALTER COLUMN search SET STATISTICS 1000;
ANALYZE media;
