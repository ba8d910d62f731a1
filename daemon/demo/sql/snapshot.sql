-- The content of a database: one JSON array [kind, name, content] a line.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
-- Whatever the database or a role has set, values must be spelled the same way, and names with their schema.
SET LOCAL search_path = pg_catalog;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
SET LOCAL xmlbinary = 'base64';
SET LOCAL row_security = off;
SET LOCAL quote_all_identifiers = off;
SET LOCAL statement_timeout = 0;

\set schemas 'pg_namespace n'
\set users_own 'n.nspname !~ ''^pg_'' AND n.nspname <> ''information_schema'''

-- Tables: how many rows, and a sum over them in which their order does not matter.  The query is made by the server, which
-- knows how to quote its own names.  The row is written `(row_.*)`, since a column may be named like an alias.  15 hexadecimal
-- digits are 60 bits, which fit a bigint.
SELECT format(
    'SELECT json_build_array(''table'', %L, json_build_array(count(*), '
    'coalesce(sum((''x'' || substr(md5((row_.*)::text), 1, 15))::bit(60)::bigint), 0)::text))::text FROM ONLY %I.%I AS row_',
    format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
FROM pg_class c JOIN :schemas ON n.oid = c.relnamespace
WHERE :users_own AND (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated)
ORDER BY n.nspname, c.relname \gexec

SELECT format(
    'SELECT json_build_array(''sequence value'', %L, json_build_object(''last'', last_value, ''called'', is_called))::text FROM %I.%I',
    format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
FROM pg_class c JOIN :schemas ON n.oid = c.relnamespace
WHERE :users_own AND c.relkind = 'S'
ORDER BY n.nspname, c.relname \gexec

-- In pieces of a MiB, so that a large object of any size fits the server's memory.
SELECT json_build_array('large object', m.oid::text, jsonb_strip_nulls(jsonb_build_object(
    'size', s.size_bytes,
    'content', (SELECT md5(string_agg(md5(lo_get(m.oid, o, 1048576)), '' ORDER BY o))
                FROM generate_series(0, s.size_bytes, 1048576) AS o),
    'owner', m.lomowner::regrole::text,
    'comment', obj_description(m.oid, 'pg_largeobject'),
    'grants', ARRAY(SELECT unnest(coalesce(m.lomacl, acldefault('L', m.lomowner)))::text ORDER BY 1))))::text
FROM pg_largeobject_metadata m CROSS JOIN LATERAL (
    SELECT coalesce(max(p.pageno::bigint * (current_setting('block_size')::int / 4) + length(p.data)), 0) AS size_bytes
    FROM pg_largeobject p WHERE p.loid = m.oid) AS s
ORDER BY m.oid;
