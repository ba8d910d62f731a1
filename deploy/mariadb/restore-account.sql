-- The account that Strongroom's agent restores logical backups into a MariaDB server with.
--
--     mariadb < restore-account.sql                   as an administrator, on the server
--
-- A restore needs far more than a backup, so keep this account locked, or on a host of its own, until the day it is needed:
--
--     ALTER USER 'strongroom_restore'@'localhost' IDENTIFIED BY '…' ACCOUNT UNLOCK;
--
-- Physical backups are restored into a directory and need no account at all.

CREATE USER IF NOT EXISTS 'strongroom_restore'@'localhost' ACCOUNT LOCK;

-- On everything, since an unfinished database has another name (orders__restoring_…) until it is whole.
GRANT SELECT, INSERT, CREATE, DROP, ALTER, INDEX, REFERENCES, LOCK TABLES, TRIGGER, EVENT, CREATE VIEW, SHOW VIEW,
  CREATE ROUTINE, ALTER ROUTINE
  ON *.* TO 'strongroom_restore'@'localhost';

-- SET USER: views, routines, triggers and events belong to the accounts that made them.
-- SUPER: a server with a binary log lets nobody else make functions and triggers, unless log_bin_trust_function_creators is set.
GRANT SET USER, SUPER ON *.* TO 'strongroom_restore'@'localhost';

-- Only for restores of accounts, and no little thing: who gives rights to others must have them all.
--
--     GRANT ALL PRIVILEGES ON *.* TO 'strongroom_restore'@'localhost' WITH GRANT OPTION;
