-- What becomes of the lessons of timetables. Written by the attendance worker only.

-- How far the lessons of a class are planned.
CREATE TABLE timetable_plans (
    class_id    uuid PRIMARY KEY REFERENCES timetables,
    -- Of the timetable that was planned by.
    revision    bigint NOT NULL,
    -- Whether the class took place then.
    is_active   boolean NOT NULL,
    -- The last day.
    through     date NOT NULL,
    planned_at  timestamptz NOT NULL
);

-- What became of each lesson.
CREATE TABLE timetable_lessons (
    class_id    uuid NOT NULL REFERENCES timetables,
    date        date NOT NULL,
    starts      time NOT NULL,
    state       text NOT NULL CHECK (state IN ('planned', 'withheld', 'withdrawn')),
    -- How often it was given up and planned anew; part of what its session's id is derived from.
    attempt     integer NOT NULL CHECK (attempt >= 0),
    session_id  uuid NOT NULL,
    -- As planned: a session that is otherwise was changed by hand.
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    room        text,
    -- The session that a withheld lesson would have overlapped.
    in_the_way  uuid REFERENCES sessions,
    PRIMARY KEY (class_id, date, starts),
    CHECK ((state = 'withheld') = (in_the_way IS NOT NULL))
);
CREATE INDEX timetable_lessons_times ON timetable_lessons (class_id, starts_at);
