-- The role that Strongroom's agent backs a PostgreSQL cluster up with: it can read everything and change nothing.
--
--     psql -X -d postgres -f backup-role.sql                      as a superuser, on the primary
--     psql -X -d postgres -v role=another_name -f backup-role.sql
--
-- May be run again, and should be after creating a database whose CONNECT right was taken from PUBLIC.
-- PostgreSQL 14 or later; for older versions see the note at the end.
--
-- Then give it a password, and write the same into the `password_file` of the service:
--
--     psql -X -d postgres -c '\password strongroom_backup'
--
-- and let it log in from the agent's host only, in pg_hba.conf:
--
--     host  all  strongroom_backup  127.0.0.1/32  scram-sha-256
--
-- A CONNECTION LIMIT should allow three sessions for each database that is dumped at once (the service's `parallel`): one
-- dumps, one holds its snapshot, one counts rows in that.  With fewer the dumps are the same, but no rows are counted.
--
-- Whoever has this role reads all data, and the hashes of all roles' passwords: guard it like a superuser.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?role}
\else
  \set role strongroom_backup
\endif

SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

-- BYPASSRLS: pg_dump refuses tables whose row-level security would hide rows from it, rather than dump them in part.
ALTER ROLE :"role" LOGIN INHERIT BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
COMMENT ON ROLE :"role" IS 'Strongroom: backups';

-- pg_read_all_data: SELECT on all tables, views and sequences and USAGE on all schemas, also on those to come.
-- pg_read_all_stats: sizes of databases, and how far a replica is behind.
GRANT pg_read_all_data, pg_read_all_stats TO :"role";

-- Large objects know no "read all": this is how a role that is no superuser may read those of others.
ALTER ROLE :"role" SET lo_compat_privileges = on;

-- Nothing that a backup does needs to write.
ALTER ROLE :"role" SET default_transaction_read_only = on;

-- PUBLIC may connect to every database unless that was revoked; only then is a grant needed.
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', datname, :'role')
FROM pg_database
WHERE datallowconn AND NOT has_database_privilege(:'role', oid, 'CONNECT')
\gexec

-- Replicas.  When backups are taken on one, let it hold the primary's clean-up back, or a long dump may be cancelled
-- ("conflict with recovery"); on the replica, as a superuser:
--
--     ALTER SYSTEM SET hot_standby_feedback = on;
--     SELECT pg_reload_conf();

-- PostgreSQL 12 and 13 have no pg_read_all_data.  There, in every database and for every schema:
--
--     GRANT USAGE ON SCHEMA app TO strongroom_backup;
--     GRANT SELECT ON ALL TABLES IN SCHEMA app TO strongroom_backup;
--     GRANT SELECT ON ALL SEQUENCES IN SCHEMA app TO strongroom_backup;
--     ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA app GRANT SELECT ON TABLES TO strongroom_backup;
--     ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA app GRANT SELECT ON SEQUENCES TO strongroom_backup;
