-- The role that Strongroom's agent takes physical backups of a PostgreSQL cluster with (method `physical`: pg_basebackup).
--
--     psql -X -d postgres -f physical-backup-role.sql                     as a superuser, on the primary
--     psql -X -d postgres -v role=another_name -f physical-backup-role.sql
--
-- May be run again.  Then give it a password, and write the same into the `password_file` of the service:
--
--     psql -X -d postgres -c '\password strongroom_basebackup'
--
-- and let it log in from the agent's host only, in pg_hba.conf: `all` does not include replication, which needs its own line.
--
--     host  all          strongroom_basebackup  127.0.0.1/32  scram-sha-256
--     host  replication  strongroom_basebackup  127.0.0.1/32  scram-sha-256
--
-- The server needs wal_level = replica (or logical), a free WAL sender (max_wal_senders) and, so that it keeps the WAL of a
-- backup's own time, a free replication slot (max_replication_slots).  All of that is so unless it was changed.
--
-- Whoever has this role can copy the whole cluster with all data and the hashes of all passwords: guard it like a superuser.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?role}
\else
  \set role strongroom_basebackup
\endif

SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

-- BYPASSRLS: for the inventory, which counts rows.
ALTER ROLE :"role" LOGIN INHERIT REPLICATION BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE;
COMMENT ON ROLE :"role" IS 'Strongroom: physical backups';

-- pg_monitor: sizes of databases, how far a replica is behind, and where the configuration lies.
-- pg_read_all_data (PostgreSQL 14 or later): the rows that the inventory counts, by which a restore is compared.  A copy of
-- all files has them anyway, so this gives nothing away that REPLICATION does not.
GRANT pg_monitor TO :"role";
SELECT format('GRANT pg_read_all_data TO %I', :'role') WHERE current_setting('server_version_num')::int >= 140000
\gexec

-- Nothing that a backup does needs to write.
ALTER ROLE :"role" SET default_transaction_read_only = on;
