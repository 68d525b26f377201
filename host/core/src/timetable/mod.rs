//! Timetables: which runs are due.
