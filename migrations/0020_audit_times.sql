-- The audit is searched by time and by thing.
CREATE INDEX audit_times ON audit (at, client_id, seq);
CREATE INDEX audit_subjects ON audit (subject_id);
