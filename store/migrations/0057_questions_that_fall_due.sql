-- When a person is asked about a scan whose face is still missing: from then on it comes too late. Nothing where nobody need be
-- asked any more, or was asked at the end of the session. Written by the attendance worker only.
ALTER TABLE kept_scans ADD COLUMN ask_at timestamptz;
CREATE INDEX kept_scans_due ON kept_scans (ask_at, session_id) WHERE ask_at IS NOT NULL;

-- How far a face may be from a scan is measured exactly, no longer in minutes of the clock: none of those is a minute at most.
UPDATE class_settings SET face_within_minutes = 1 WHERE face_within_minutes = 0;
ALTER TABLE class_settings
    DROP CONSTRAINT class_settings_face_within_minutes_check,
    ADD CONSTRAINT class_settings_face_within_minutes_check CHECK (face_within_minutes > 0);
