-- Roles belong to the cluster, not to a database: they travel in the artifact `globals`.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['shop_owner', 'shop_reader', 'shop clerk'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END
$$;
COMMENT ON ROLE shop_reader IS 'May look, not touch';
