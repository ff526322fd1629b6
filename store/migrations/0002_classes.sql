-- Classes and what decisions about them read. Written by the api only. Memberships are kept by validity, so that a
-- decision can read them as of the event.

CREATE TABLE classes (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    code            text NOT NULL,
    name            text NOT NULL,
    description     text NOT NULL DEFAULT '',
    teacher_id      uuid NOT NULL REFERENCES users,
    capacity        integer CHECK (capacity > 0),
    is_active       boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz
);
CREATE UNIQUE INDEX classes_code ON classes (organisation_id, code) WHERE deleted_at IS NULL;
CREATE INDEX classes_teacher ON classes (teacher_id) WHERE deleted_at IS NULL;

-- The rules of a class, by validity: the row whose span holds the event decides.
CREATE TABLE class_settings (
    class_id                 uuid NOT NULL REFERENCES classes,
    valid_from               timestamptz NOT NULL,
    valid_to                 timestamptz,
    -- A mark later than this after the start is late.
    late_after_seconds       integer NOT NULL CHECK (late_after_seconds >= 0),
    qr_ttl_seconds           integer NOT NULL CHECK (qr_ttl_seconds > 0),
    -- Whether one sighting at or above the pack's `certain` threshold is enough by itself.
    certain_is_enough        boolean NOT NULL,
    -- Otherwise this many confident sightings, in different frames, are wanted.
    votes_wanted             integer NOT NULL CHECK (votes_wanted > 0),
    PRIMARY KEY (class_id, valid_from),
    CHECK (valid_to > valid_from)
);
CREATE UNIQUE INDEX class_settings_current ON class_settings (class_id) WHERE valid_to IS NULL;

CREATE TABLE enrolments (
    id          uuid PRIMARY KEY,
    class_id    uuid NOT NULL REFERENCES classes,
    student_id  uuid NOT NULL REFERENCES users,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    CHECK (valid_to > valid_from)
);
CREATE UNIQUE INDEX enrolments_current ON enrolments (class_id, student_id) WHERE valid_to IS NULL;
CREATE INDEX enrolments_student ON enrolments (student_id, class_id);
CREATE INDEX enrolments_class ON enrolments (class_id, student_id);

-- Which cameras look at which class, by validity.
CREATE TABLE class_cameras (
    class_id    uuid NOT NULL REFERENCES classes,
    camera_id   uuid NOT NULL REFERENCES cameras,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    PRIMARY KEY (camera_id, class_id, valid_from),
    CHECK (valid_to > valid_from)
);
CREATE UNIQUE INDEX class_cameras_current ON class_cameras (class_id, camera_id) WHERE valid_to IS NULL;
