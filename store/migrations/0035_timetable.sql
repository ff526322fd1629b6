-- Timetables: what the schedule of a class is, and what differs from it on single days. Written by the api only.

CREATE TABLE timetables (
    class_id    uuid PRIMARY KEY REFERENCES classes,
    -- By whose clocks, as the IANA database names them; the organisation's when absent.
    time_zone   text CHECK (time_zone <> ''),
    -- Counts every change that lessons follow from: the schedule's, and those of holidays and of the organisation's clocks.
    revision    bigint NOT NULL CHECK (revision > 0),
    changed_at  timestamptz NOT NULL
);

CREATE TABLE timetable_entries (
    class_id     uuid NOT NULL REFERENCES timetables,
    position     integer NOT NULL,
    -- From 1, Monday (ISO 8601).
    weekday      smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    -- By the clock.
    starts       time NOT NULL,
    ends         time NOT NULL,
    room         text CHECK (room <> ''),
    valid_from   date NOT NULL,
    -- The last day.
    valid_until  date,
    every_weeks  smallint NOT NULL CHECK (every_weeks > 0),
    PRIMARY KEY (class_id, position),
    CHECK (ends > starts),
    CHECK (valid_until >= valid_from)
);

CREATE TABLE timetable_exceptions (
    class_id   uuid NOT NULL REFERENCES timetables,
    -- What the lesson is known by: where the schedule has it, or where it is added.
    date       date NOT NULL,
    starts     time NOT NULL,
    change     text NOT NULL CHECK (change IN ('cancelled', 'moved', 'added')),
    -- Where it takes place, if it does.
    to_date    date,
    to_starts  time,
    to_ends    time,
    to_room    text CHECK (to_room <> ''),
    PRIMARY KEY (class_id, date, starts),
    CHECK (to_ends > to_starts),
    CHECK ((change = 'cancelled') = (num_nonnulls(to_date, to_starts, to_ends) = 0)),
    CHECK (num_nonnulls(to_date, to_starts, to_ends) IN (0, 3))
);

-- Days on which nothing of any schedule takes place.
CREATE TABLE holidays (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    first_day   date NOT NULL,
    last_day    date NOT NULL,
    created_at  timestamptz NOT NULL,
    CHECK (last_day >= first_day)
);
CREATE INDEX holidays_days ON holidays (last_day, first_day, id);

-- What a teacher's schedules are filled up with.
CREATE TABLE teacher_settings (
    user_id         uuid PRIMARY KEY REFERENCES users,
    default_room    text CHECK (default_room <> ''),
    lesson_minutes  integer CHECK (lesson_minutes > 0),
    updated_at      timestamptz NOT NULL
);

-- Addresses that calendar programs read a person's timetable from, without signing in.
CREATE TABLE calendar_addresses (
    user_id        uuid PRIMARY KEY REFERENCES users,
    secret_sha256  bytea NOT NULL UNIQUE,
    created_at     timestamptz NOT NULL
);
