-- How frequent each tag is has to be known more exactly than by a hundred samples: where one of 200 items was taken for
-- one of 1 000, PostgreSQL walked along all items of a client instead of asking the index.
ALTER TABLE media ALTER COLUMN tags SET STATISTICS 1000;
ANALYZE media;
