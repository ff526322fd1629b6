-- Records of attendance, what they rest on, and what waits for a person. Written by the attendance worker only.

CREATE TABLE attendance (
    id           uuid PRIMARY KEY,
    session_id   uuid NOT NULL REFERENCES sessions,
    student_id   uuid NOT NULL REFERENCES users,
    status       text NOT NULL CHECK (status IN ('present', 'late', 'absent', 'excused')),
    -- Event time of the earliest evidence; the end of the session for the absent.
    marked_at    timestamptz NOT NULL,
    evidence     text NOT NULL CHECK (evidence IN ('qr', 'face', 'manual', 'none')),
    -- The earliest scan, kept beside an earlier face too: the end of the session may take the face back.
    scan_id      uuid,
    scanned_at   timestamptz,
    sighting_id  uuid,
    similarity   real,
    -- Where the scan came from.
    ip           inet,
    user_agent   text,
    trace_id     text,
    recorded_at  timestamptz NOT NULL,
    UNIQUE (session_id, student_id)
);
CREATE INDEX attendance_student ON attendance (student_id, marked_at DESC);

-- Every earlier version of a record.
CREATE TABLE attendance_history (
    attendance_id  uuid NOT NULL REFERENCES attendance,
    -- The message that changed the record.
    cause          uuid NOT NULL,
    status         text NOT NULL,
    marked_at      timestamptz NOT NULL,
    evidence       text NOT NULL,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (attendance_id, cause)
);

-- One confident look at a person in a session. Votes over frames decide.
CREATE TABLE face_votes (
    session_id   uuid NOT NULL REFERENCES sessions,
    student_id   uuid NOT NULL REFERENCES users,
    sighting_id  uuid NOT NULL,
    -- Several packs may look at one frame: it is still one look.
    frame_id     uuid NOT NULL,
    captured_at  timestamptz NOT NULL,
    similarity   real NOT NULL,
    -- Whether it reached the pack's `certain` threshold.
    certain      boolean NOT NULL,
    PRIMARY KEY (session_id, student_id, sighting_id)
);

CREATE TABLE reviews (
    id                 uuid PRIMARY KEY,
    session_id         uuid NOT NULL REFERENCES sessions,
    camera_id          uuid NOT NULL REFERENCES cameras,
    sighting_id        uuid NOT NULL,
    face_index         integer NOT NULL,
    evidence_sequence  bigint,
    -- The student whose mark depends on it: one open question per student and session is enough.
    top_candidate      uuid NOT NULL REFERENCES users,
    -- Most similar first: [{userId, similarity}].
    candidates         jsonb NOT NULL,
    reason             text NOT NULL,
    captured_at        timestamptz NOT NULL,
    opened_at          timestamptz NOT NULL,
    resolved_at        timestamptz,
    UNIQUE (session_id, top_candidate)
);
CREATE INDEX reviews_open ON reviews (session_id, captured_at) WHERE resolved_at IS NULL;
