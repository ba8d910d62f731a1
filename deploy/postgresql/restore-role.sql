-- A role for restoring that is no superuser.
--
--     psql -X -d postgres -f restore-role.sql                     as a superuser, on the primary
--     psql -X -d postgres -v role=another_name -f restore-role.sql
--
-- It can create databases and missing roles, and replace databases that it owns.  That is enough for restores that give
-- everything to the restoring role (--skip-roles), and for drills.  What it cannot do, because PostgreSQL lets no one but a
-- superuser do it:
--
--   * give objects to owners it is not a member of: GRANT app TO strongroom_restore, for each such owner
--   * replace a database of another owner: the same grant
--   * create roles that are superusers, may replicate or bypass row-level security, or set parameters reserved to superusers
--   * create extensions that are not trusted (such as dblink or postgis), event triggers, and C functions
--
-- Where all of this must come back as it was, let a superuser restore:
--
--     ALTER ROLE strongroom_restore SUPERUSER;
--
-- Then give it a password, as backup-role.sql says.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?role}
\else
  \set role strongroom_restore
\endif

SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

ALTER ROLE :"role" LOGIN INHERIT CREATEDB CREATEROLE NOREPLICATION NOBYPASSRLS;
COMMENT ON ROLE :"role" IS 'Strongroom: restores';

-- To disconnect whoever is connected to a database that is being replaced.
GRANT pg_signal_backend TO :"role";

-- From 16 on a role that creates another is not thereby its member; without this it could not give it any objects.
SELECT format('ALTER ROLE %I SET createrole_self_grant = ''set, inherit''', :'role')
WHERE current_setting('server_version_num')::int >= 160000
\gexec
