-- What people say of records, answers to reviews, and classes that want more than one kind of evidence. Settings are written
-- by the api, everything else by the attendance worker only.

ALTER TABLE class_settings
    ADD COLUMN evidence_rule        text NOT NULL DEFAULT 'either'
        CHECK (evidence_rule IN ('either', 'both', 'qr_needs_face', 'face_proposes')),
    -- For qr_needs_face: how far a face may be from the scan, in whole minutes of the clock.
    ADD COLUMN face_within_minutes  integer NOT NULL DEFAULT 10 CHECK (face_within_minutes >= 0);

-- Whoever made the record say what it says, and why; nobody where machines did.
ALTER TABLE attendance
    ADD COLUMN decided_by  uuid REFERENCES users,
    ADD COLUMN reason      text;

-- Each row is a version that no longer stands: who had made it and why, and from when until when it stood.
ALTER TABLE attendance_history
    ADD COLUMN decided_by   uuid REFERENCES users,
    ADD COLUMN reason       text,
    ADD COLUMN similarity   real,
    ADD COLUMN recorded_at  timestamptz,
    -- Orders versions that changed in the same instant.
    ADD COLUMN place        bigint GENERATED ALWAYS AS IDENTITY;
UPDATE attendance_history h SET recorded_at = earlier.recorded_at
FROM (SELECT attendance_id, cause,
             coalesce(lag(changed_at) OVER (PARTITION BY attendance_id ORDER BY changed_at), marked_at) AS recorded_at
      FROM attendance_history) AS earlier
WHERE h.attendance_id = earlier.attendance_id AND h.cause = earlier.cause;
ALTER TABLE attendance_history ALTER COLUMN recorded_at SET NOT NULL;

-- Where the crop of the face is.
ALTER TABLE face_votes
    ADD COLUMN camera_id          uuid REFERENCES cameras,
    ADD COLUMN evidence_sequence  bigint;

-- Every good scan of a session whose rule wants more than a scan, whether or not a record rests on it.
CREATE TABLE kept_scans (
    session_id  uuid NOT NULL REFERENCES sessions,
    student_id  uuid NOT NULL REFERENCES users,
    scan_id     uuid NOT NULL,
    scanned_at  timestamptz NOT NULL,
    ip          inet,
    user_agent  text,
    PRIMARY KEY (session_id, student_id, scan_id)
);

-- A question is about a face that a camera saw, or about a scan that no face confirms.
ALTER TABLE reviews
    ALTER COLUMN camera_id DROP NOT NULL,
    ALTER COLUMN sighting_id DROP NOT NULL,
    ALTER COLUMN face_index DROP NOT NULL,
    ADD COLUMN scan_id        uuid,
    ADD COLUMN resolution     text CHECK (resolution IN ('accepted', 'rejected', 'reassigned', 'known', 'overtaken')),
    -- Who answered; nobody where evidence did.
    ADD COLUMN resolved_by    uuid REFERENCES users,
    ADD COLUMN resolved_why   text,
    ADD COLUMN reassigned_to  uuid REFERENCES users,
    ADD CHECK (sighting_id IS NOT NULL OR scan_id IS NOT NULL);
UPDATE reviews SET resolution = 'known' WHERE resolved_at IS NOT NULL;
ALTER TABLE reviews ADD CHECK ((resolved_at IS NULL) = (resolution IS NULL));
CREATE INDEX reviews_resolved ON reviews (session_id, captured_at) WHERE resolved_at IS NOT NULL;
