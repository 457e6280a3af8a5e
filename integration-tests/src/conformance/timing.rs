//! Measuring around calls, so that cases about time are right on slow machines too.
