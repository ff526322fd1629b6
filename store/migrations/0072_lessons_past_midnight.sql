-- A lesson may end on the day after: then its end is before its beginning. How long that may be is the api's to say.
ALTER TABLE timetable_entries DROP CONSTRAINT timetable_entries_check, ADD CHECK (ends <> starts);
ALTER TABLE timetable_exceptions DROP CONSTRAINT timetable_exceptions_check, ADD CHECK (to_ends <> to_starts);
