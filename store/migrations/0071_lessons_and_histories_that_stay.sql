-- Lessons that something was in the way of are looked at again when it goes; and what a record has said can be read when
-- there is no record any more. Written by the attendance worker only.
CREATE INDEX timetable_lessons_withheld ON timetable_lessons (starts_at) WHERE state = 'withheld';

-- Whose record it was, of which session. Unknown of records that were taken back before this was kept, and not made again.
ALTER TABLE attendance_history
    ADD COLUMN session_id uuid REFERENCES sessions,
    ADD COLUMN student_id uuid REFERENCES users;
UPDATE attendance_history h SET session_id = a.session_id, student_id = a.student_id
FROM attendance a WHERE a.id = h.attendance_id;
