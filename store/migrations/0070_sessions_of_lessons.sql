-- Which sessions are lessons: the others were made by hand.
CREATE INDEX timetable_lessons_session ON timetable_lessons (session_id);
