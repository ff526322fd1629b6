-- A session that is opened again days later does not take the time in between: others may take place then. Written by the
-- attendance worker only.
ALTER TABLE sessions ADD COLUMN paused tstzmultirange NOT NULL DEFAULT '{}';
UPDATE sessions s SET paused = p.paused
FROM (SELECT session_id, range_agg(tstzrange(closed_at, reopened_at)) AS paused FROM session_pauses GROUP BY session_id) p
WHERE p.session_id = s.id;
ALTER TABLE sessions
    ADD COLUMN taken tstzmultirange NOT NULL GENERATED ALWAYS AS
        (tstzmultirange(tstzrange(starts_at, greatest(starts_at, coalesce(ended_at, ends_at)))) - paused) STORED,
    DROP CONSTRAINT sessions_one_of_a_class,
    DROP CONSTRAINT sessions_one_in_a_room,
    ADD CONSTRAINT sessions_one_of_a_class EXCLUDE USING gist (class_id WITH =, taken WITH &&)
        WHERE (NOT allow_overlap AND state <> 'cancelled'),
    ADD CONSTRAINT sessions_one_in_a_room EXCLUDE USING gist (lower(room) WITH =, taken WITH &&)
        WHERE (NOT allow_overlap AND state <> 'cancelled' AND room IS NOT NULL);
