-- The account that Strongroom's agent backs a MariaDB server up with: it can read everything.
--
--     mariadb < backup-account.sql                    as an administrator, on the server
--
-- May be run again.  MariaDB 10.5 or later.
--
-- Then give it a password, and write the same into the `password_file` of the service:
--
--     ALTER USER 'strongroom_backup'@'localhost' IDENTIFIED BY '…';
--
-- or none at all, if the agent runs as an operating system user of that name and connects to the server's socket:
--
--     ALTER USER 'strongroom_backup'@'localhost' IDENTIFIED VIA unix_socket;
--
-- Whoever has this account reads all data, and the hashes of all passwords: guard it like an administrator's.
-- For a physical backup the agent must also be able to read the data directory: it runs as root, or as the user `mysql`.

CREATE USER IF NOT EXISTS 'strongroom_backup'@'localhost' ACCOUNT LOCK;
ALTER USER 'strongroom_backup'@'localhost' ACCOUNT UNLOCK;

-- RELOAD, PROCESS: mariadb-backup takes its locks and looks at InnoDB; a dump with a binary log needs RELOAD, too.
-- BINLOG MONITOR: the position in the binary log.  mariadb-backup would find out only at the very end that it is missing.
-- SLAVE MONITOR: whether the server is a replica, and how far behind.
GRANT RELOAD, PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO 'strongroom_backup'@'localhost';

-- SELECT: dumps, the accounts, and the inventory with the number of rows, by which a restore is checked.
-- SHOW VIEW, TRIGGER, EVENT: definitions; mariadb-dump leaves triggers out without a word if it may not see them.
-- For physical backups SELECT is enough; TRIGGER and EVENT also allow to make such objects, so leave them out there.
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO 'strongroom_backup'@'localhost';

-- EXECUTE: a view that calls a stored function cannot be dumped without it (error 1370).  It also allows to call procedures,
-- which may change what their definers may change: leave it out where no view calls a function, and for physical backups.
GRANT EXECUTE ON *.* TO 'strongroom_backup'@'localhost';
