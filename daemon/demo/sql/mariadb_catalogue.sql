-- All definitions in a MariaDB server, one JSON array of (kind, name, text) per line; `column` says what tables to sum up.
SET NAMES utf8mb4;
SET SESSION group_concat_max_len = 1048576;

SELECT JSON_ARRAY('column', CONCAT('`', c.table_schema, '`.`', c.table_name, '`'), CONCAT('`', c.column_name, '`'))
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') AND t.table_type = 'BASE TABLE'
ORDER BY c.table_schema, c.table_name, c.ordinal_position;

SELECT JSON_ARRAY('database', schema_name, CONCAT_WS(' ', default_collation_name, schema_comment))
FROM information_schema.schemata WHERE schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');

SELECT JSON_ARRAY('columns', CONCAT(table_schema, '.', table_name),
  GROUP_CONCAT(CONCAT_WS(' ', column_name, column_type, is_nullable, collation_name, column_default) ORDER BY ordinal_position))
FROM information_schema.columns
WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') GROUP BY table_schema, table_name;

SELECT JSON_ARRAY('index', CONCAT(table_schema, '.', table_name, '.', index_name),
  GROUP_CONCAT(column_name ORDER BY seq_in_index))
FROM information_schema.statistics
WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
GROUP BY table_schema, table_name, index_name;

SELECT JSON_ARRAY('constraint', CONCAT(constraint_schema, '.', table_name, '.', constraint_name), constraint_type)
FROM information_schema.table_constraints
WHERE constraint_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');

SELECT JSON_ARRAY('view', CONCAT(table_schema, '.', table_name), CONCAT_WS(' ', definer, view_definition))
FROM information_schema.views WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');

SELECT JSON_ARRAY('trigger', CONCAT(trigger_schema, '.', trigger_name), CONCAT_WS(' ', definer, action_timing, action_statement))
FROM information_schema.triggers WHERE trigger_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');

SELECT JSON_ARRAY('routine', CONCAT(routine_schema, '.', routine_name), CONCAT_WS(' ', definer, routine_type, routine_definition))
FROM information_schema.routines WHERE routine_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');

SELECT JSON_ARRAY('event', CONCAT(event_schema, '.', event_name), CONCAT_WS(' ', definer, interval_value, starts, event_definition))
FROM information_schema.events WHERE event_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');

SELECT JSON_ARRAY('sequence', CONCAT(table_schema, '.', table_name), table_type)
FROM information_schema.tables WHERE table_type = 'SEQUENCE';

SELECT JSON_ARRAY('account', CONCAT(user, '@', host), MD5(priv)) FROM mysql.global_priv;

SELECT JSON_ARRAY('role', CONCAT(user, '@', host, ' ', role), admin_option) FROM mysql.roles_mapping;

SELECT JSON_ARRAY('right', CONCAT(user, '@', host, ' ', db), CONCAT_WS(' ', select_priv, insert_priv, update_priv, delete_priv))
FROM mysql.db;
