//! Sessions in MySQL or MariaDB.
