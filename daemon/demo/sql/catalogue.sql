-- What a database consists of besides rows: one JSON array [kind, name, definition] a line, names unique within their kind.
--
-- Object numbers, file numbers and column positions are left out: a restore may change them, and nobody minds.  Grants are
-- sorted and the defaults filled in, since the same rights can be stored in several ways.  Runs after snapshot.sql, in its
-- transaction and with its variables.
\set relations 'pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ ''^pg_'' AND n.nspname <> ''information_schema'''
\set relation 'quote_ident(n.nspname) || ''.'' || quote_ident(c.relname)'
-- The first number of objects that were not made with the cluster.  Source: PostgreSQL, access/transam.h.
\set first_own 16384

SELECT json_build_array('database', 'itself', jsonb_strip_nulls(jsonb_build_object(
    'owner', d.datdba::regrole::text,
    'encoding', pg_encoding_to_char(d.encoding),
    'collate', d.datcollate,
    'ctype', d.datctype,
    'connections', d.datconnlimit,
    'comment', shobj_description(d.oid, 'pg_database'),
    'grants', ARRAY(SELECT unnest(coalesce(d.datacl, acldefault('d', d.datdba)))::text ORDER BY 1))))::text
FROM pg_database d WHERE d.datname = current_database();

SELECT json_build_array('database setting', coalesce(s.setrole::regrole::text, '-'), to_json(s.setconfig))::text
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database();

SELECT json_build_array('schema', quote_ident(n.nspname), jsonb_strip_nulls(jsonb_build_object(
    'owner', n.nspowner::regrole::text,
    'comment', obj_description(n.oid, 'pg_namespace'),
    'grants', ARRAY(SELECT unnest(coalesce(n.nspacl, acldefault('n', n.nspowner)))::text ORDER BY 1))))::text
FROM :schemas WHERE :users_own;

SELECT json_build_array('extension', quote_ident(e.extname), json_build_object(
    'version', e.extversion, 'schema', e.extnamespace::regnamespace::text))::text
FROM pg_extension e;

SELECT json_build_array('relation', :relation, jsonb_strip_nulls(jsonb_build_object(
    'kind', c.relkind,
    'persistence', c.relpersistence,
    'owner', c.relowner::regrole::text,
    'options', c.reloptions,
    'access method', (SELECT a.amname FROM pg_am a WHERE a.oid = c.relam),
    'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace),
    'row security', c.relrowsecurity,
    'forced row security', c.relforcerowsecurity,
    'replica identity', c.relreplident,
    'populated', c.relispopulated,
    'typed', nullif(c.reloftype, 0)::regtype::text,
    'partition key', pg_get_partkeydef(c.oid),
    'partition bound', pg_get_expr(c.relpartbound, c.oid),
    'parents', (SELECT json_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
    'comment', obj_description(c.oid, 'pg_class'),
    'grants', ARRAY(SELECT unnest(coalesce(c.relacl, acldefault('r', c.relowner)))::text ORDER BY 1))))::text
FROM :relations WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c');

SELECT json_build_array('column', :relation || '.' || quote_ident(a.attname), jsonb_strip_nulls(jsonb_build_object(
    'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
    'type', format_type(a.atttypid, a.atttypmod),
    'not null', a.attnotnull,
    'default', pg_get_expr(d.adbin, d.adrelid),
    'identity', nullif(a.attidentity, ''),
    'generated', nullif(a.attgenerated, ''),
    'collation', nullif(a.attcollation, 0)::regcollation::text,
    'storage', a.attstorage,
    'statistics', nullif(a.attstattarget, -1),
    'options', a.attoptions,
    'inherited', a.attinhcount > 0,
    'local', a.attislocal,
    'comment', col_description(a.attrelid, a.attnum),
    'grants', ARRAY(SELECT unnest(a.attacl)::text ORDER BY 1))))::text
FROM :relations JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c');

SELECT json_build_array('index', :relation, jsonb_strip_nulls(jsonb_build_object(
    'definition', pg_get_indexdef(c.oid),
    'valid', i.indisvalid,
    'clustered', i.indisclustered,
    'replica identity', i.indisreplident,
    'comment', obj_description(c.oid, 'pg_class'))))::text
FROM :relations JOIN pg_index i ON i.indexrelid = c.oid;

SELECT json_build_array(
    'constraint',
    quote_ident(n.nspname) || '.' || quote_ident(o.conname) || ' on '
        || coalesce(nullif(o.conrelid, 0)::regclass::text, o.contypid::regtype::text),
    jsonb_strip_nulls(jsonb_build_object(
        'definition', pg_get_constraintdef(o.oid),
        'validated', o.convalidated,
        'inherited', o.coninhcount > 0,
        'comment', obj_description(o.oid, 'pg_constraint'))))::text
FROM pg_constraint o JOIN :schemas ON n.oid = o.connamespace AND :users_own;

SELECT json_build_array('view', :relation, pg_get_viewdef(c.oid))::text FROM :relations WHERE c.relkind IN ('v', 'm');

SELECT json_build_array('sequence', :relation, jsonb_strip_nulls(jsonb_build_object(
    'type', s.seqtypid::regtype::text,
    'start', s.seqstart,
    'increment', s.seqincrement,
    'minimum', s.seqmin,
    'maximum', s.seqmax,
    'cache', s.seqcache,
    'cycles', s.seqcycle,
    'persistence', c.relpersistence,
    'owner', c.relowner::regrole::text,
    'owned by', (
        SELECT d.refobjid::regclass || '.' || quote_ident(a.attname)
        FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0),
    'comment', obj_description(c.oid, 'pg_class'),
    'grants', ARRAY(SELECT unnest(coalesce(c.relacl, acldefault('s', c.relowner)))::text ORDER BY 1))))::text
FROM :relations JOIN pg_sequence s ON s.seqrelid = c.oid;

-- A multirange type has the owner and grants of whoever made the range: pg_dump leaves them out, and so do we.
SELECT json_build_array('type', format_type(t.oid, NULL), jsonb_strip_nulls(jsonb_build_object(
    'kind', t.typtype,
    'owner', CASE WHEN t.typtype <> 'm' THEN t.typowner::regrole::text END,
    'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
    'not null', t.typnotnull,
    'default', t.typdefault,
    'labels', (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
    'range of', (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid),
    'comment', obj_description(t.oid, 'pg_type'),
    'grants', CASE WHEN t.typtype <> 'm' THEN
        ARRAY(SELECT unnest(coalesce(t.typacl, acldefault('T', t.typowner)))::text ORDER BY 1) END)))::text
FROM pg_type t JOIN :schemas ON n.oid = t.typnamespace AND :users_own LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE t.typelem = 0 AND (c.oid IS NULL OR c.relkind = 'c');

SELECT json_build_array('function', p.oid::regprocedure::text, jsonb_strip_nulls(jsonb_build_object(
    'kind', p.prokind,
    'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
    'aggregate', (
        SELECT json_build_object(
            'state', g.aggtransfn::text, 'final', g.aggfinalfn::text, 'combine', g.aggcombinefn::text,
            'type', format_type(g.aggtranstype, NULL), 'initial', g.agginitval)
        FROM pg_aggregate g WHERE g.aggfnoid = p.oid),
    'owner', p.proowner::regrole::text,
    'comment', obj_description(p.oid, 'pg_proc'),
    'grants', ARRAY(SELECT unnest(coalesce(p.proacl, acldefault('f', p.proowner)))::text ORDER BY 1))))::text
FROM pg_proc p JOIN :schemas ON n.oid = p.pronamespace AND :users_own;

SELECT json_build_array('trigger', quote_ident(t.tgname) || ' on ' || :relation, jsonb_strip_nulls(jsonb_build_object(
    'definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled, 'comment', obj_description(t.oid, 'pg_trigger'))))::text
FROM :relations JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal;

SELECT json_build_array('event trigger', quote_ident(e.evtname), json_build_object(
    'on', e.evtevent, 'function', e.evtfoid::regprocedure::text, 'enabled', e.evtenabled, 'tags', e.evttags,
    'owner', e.evtowner::regrole::text))::text
FROM pg_event_trigger e;

SELECT json_build_array('rule', quote_ident(r.rulename) || ' on ' || :relation, json_build_object(
    'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled, 'comment', obj_description(r.oid, 'pg_rewrite')))::text
FROM :relations JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN';

SELECT json_build_array('policy', quote_ident(p.polname) || ' on ' || :relation, jsonb_strip_nulls(jsonb_build_object(
    'command', p.polcmd,
    'permissive', p.polpermissive,
    'roles', ARRAY(SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END FROM unnest(p.polroles) AS r ORDER BY 1),
    'using', pg_get_expr(p.polqual, p.polrelid),
    'check', pg_get_expr(p.polwithcheck, p.polrelid),
    'comment', obj_description(p.oid, 'pg_policy'))))::text
FROM :relations JOIN pg_policy p ON p.polrelid = c.oid;

SELECT json_build_array('statistics', quote_ident(n.nspname) || '.' || quote_ident(s.stxname), json_build_object(
    'definition', pg_get_statisticsobjdef(s.oid), 'owner', s.stxowner::regrole::text))::text
FROM pg_statistic_ext s JOIN :schemas ON n.oid = s.stxnamespace AND :users_own;

SELECT json_build_array('publication', quote_ident(p.pubname), json_build_object(
    'owner', p.pubowner::regrole::text,
    'all tables', p.puballtables,
    'actions', json_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate),
    'tables', ARRAY(SELECT r.prrelid::regclass::text FROM pg_publication_rel r WHERE r.prpubid = p.oid ORDER BY 1)))::text
FROM pg_publication p;

SELECT json_build_array(
    'default privilege',
    format('%s of %s in %s', d.defaclobjtype, d.defaclrole::regrole, coalesce(nullif(d.defaclnamespace, 0)::regnamespace::text, '*')),
    ARRAY(SELECT unnest(d.defaclacl)::text ORDER BY 1))::text
FROM pg_default_acl d;

-- Rarer kinds, of which it is enough to know that they are there, and what is said of them.
SELECT json_build_array(i.type, i.identity, json_build_object('comment', obj_description(o.oid, o.catalog)))::text
FROM (
    SELECT 'pg_cast' AS catalog, oid FROM pg_cast
    UNION ALL SELECT 'pg_collation', oid FROM pg_collation
    UNION ALL SELECT 'pg_conversion', oid FROM pg_conversion
    UNION ALL SELECT 'pg_operator', oid FROM pg_operator
    UNION ALL SELECT 'pg_opclass', oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily', oid FROM pg_opfamily
    UNION ALL SELECT 'pg_am', oid FROM pg_am
    UNION ALL SELECT 'pg_language', oid FROM pg_language
    UNION ALL SELECT 'pg_transform', oid FROM pg_transform
    UNION ALL SELECT 'pg_ts_config', oid FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict', oid FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser', oid FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template', oid FROM pg_ts_template
    UNION ALL SELECT 'pg_foreign_data_wrapper', oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server', oid FROM pg_foreign_server
    UNION ALL SELECT 'pg_user_mapping', oid FROM pg_user_mapping
) AS o CROSS JOIN LATERAL pg_identify_object(o.catalog::regclass, o.oid, 0) AS i
WHERE o.oid >= :first_own;

COMMIT;
