-- What reports read: the records of a session with their statuses, from the index alone.
CREATE INDEX attendance_reports ON attendance (session_id) INCLUDE (student_id, status);
