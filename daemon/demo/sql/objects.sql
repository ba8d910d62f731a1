-- What is made once the rows are in.
SET ROLE shop_owner;

ALTER TABLE shop.order_lines
    ADD FOREIGN KEY (order_id) REFERENCES shop.orders ON DELETE CASCADE,
    ADD CONSTRAINT known_product FOREIGN KEY (sku) REFERENCES shop.products ON UPDATE CASCADE;
ALTER TABLE shop.orders ADD CONSTRAINT placed_late_enough CHECK (placed_at >= timestamp '2000-01-01') NOT VALID;
COMMENT ON CONSTRAINT known_product ON shop.order_lines IS 'Follows a renamed product';

CREATE INDEX customers_by_name ON shop.customers (shop.normalised(name) text_pattern_ops);
CREATE INDEX customers_by_preference ON shop.customers USING gin (preferences jsonb_path_ops);
CREATE INDEX products_search ON shop.products USING gin (search);
CREATE INDEX orders_open ON shop.orders (customer_id, placed_at DESC NULLS LAST) INCLUDE (status) WHERE status IN ('new', 'paid');
CREATE INDEX orders_by_delivery ON shop.orders USING gist (delivery);
CREATE INDEX order_lines_by_sku ON shop.order_lines USING hash (sku);
CREATE INDEX page_views_by_time ON analytics.page_views USING brin (viewed_at) WITH (pages_per_range = 64);
CREATE UNIQUE INDEX page_views_id ON analytics.page_views (id);
COMMENT ON INDEX shop.orders_open IS 'What the packers look at';
ALTER TABLE shop.order_lines CLUSTER ON order_lines_pkey;
ALTER TABLE shop.customers REPLICA IDENTITY FULL;
CREATE STATISTICS shop.orders_correlate (dependencies, ndistinct) ON customer_id, status FROM shop.orders;

CREATE VIEW shop.open_orders WITH (security_barrier = true) AS
    SELECT o.id, c.name, c.email, o.placed_at FROM shop.orders o JOIN shop.customers c ON c.id = o.customer_id
    WHERE o.status IN ('new', 'paid');
CREATE VIEW shop.cheap_products AS SELECT sku, name, price FROM shop.products WHERE price < 50 WITH LOCAL CHECK OPTION;
CREATE RECURSIVE VIEW shop.hierarchy (id, name, depth) AS
    SELECT id, name, 0 FROM shop.employees WHERE manager_id IS NULL
    UNION ALL SELECT e.id, e.name, h.depth + 1 FROM shop.employees e JOIN hierarchy h ON h.id = e.manager_id;
COMMENT ON VIEW shop.hierarchy IS 'Who reports to whom';
CREATE MATERIALIZED VIEW analytics.revenue_by_month AS
    SELECT date_trunc('month', o.placed_at) AS month, count(DISTINCT o.id) AS orders, sum(l.total) AS revenue
    FROM shop.orders o JOIN shop.order_lines l ON l.order_id = o.id GROUP BY 1;
CREATE UNIQUE INDEX ON analytics.revenue_by_month (month);
CREATE MATERIALIZED VIEW analytics.not_yet AS SELECT count(*) FROM shop.customers WITH NO DATA;

CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER customers_touch BEFORE UPDATE ON shop.customers
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION shop.touch();
CREATE FUNCTION shop.count_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = shop AS $$
BEGIN
    PERFORM nextval('shop.untouched') FROM changed;
    RETURN NULL;
END
$$;
CREATE TRIGGER orders_counted AFTER INSERT ON shop.orders
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION shop.count_changes();
ALTER TABLE shop.orders DISABLE TRIGGER orders_counted;
COMMENT ON TRIGGER customers_touch ON shop.customers IS 'Only when something changed';
CREATE PROCEDURE shop.cancel_order(which bigint, INOUT done boolean DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE shop.orders SET status = 'cancelled' WHERE id = which;
    done := FOUND;
END
$$;
CREATE FUNCTION shop.add_up(state numeric, VARIADIC more numeric[] DEFAULT '{}') RETURNS numeric LANGUAGE sql IMMUTABLE
    AS $$ SELECT coalesce(state, 0) + coalesce(sum(one), 0) FROM unnest(more) AS one $$;
CREATE AGGREGATE shop.total(numeric) (SFUNC = numeric_add, STYPE = numeric, INITCOND = '0');
CREATE RULE keep_employees AS ON DELETE TO shop.employees DO INSTEAD NOTHING;
CREATE CAST (shop.address AS text) WITH INOUT;
CREATE COLLATION shop.plain (provider = libc, locale = 'C');
CREATE TEXT SEARCH CONFIGURATION shop.simple_copy (COPY = pg_catalog.simple);

ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY clerks_see_debtors ON shop.customers FOR SELECT TO "shop clerk" USING (balance < 0);
CREATE POLICY readers_see_all ON shop.customers AS PERMISSIVE FOR ALL TO shop_reader USING (true) WITH CHECK (false);
COMMENT ON POLICY clerks_see_debtors ON shop.customers IS 'And nobody else';

GRANT USAGE ON SCHEMA shop, analytics TO shop_reader;
GRANT USAGE ON SCHEMA shop TO "shop clerk" WITH GRANT OPTION;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO shop_reader;
GRANT SELECT (id, name), UPDATE (name) ON shop.customers TO "shop clerk";
GRANT USAGE ON SEQUENCE shop.invoice_number TO "shop clerk";
GRANT USAGE ON TYPE shop.order_status TO shop_reader;
REVOKE EXECUTE ON FUNCTION shop.touch() FROM PUBLIC;
REVOKE ALL ON PROCEDURE shop.cancel_order(bigint, boolean) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO shop_reader;

RESET ROLE;
CREATE PUBLICATION orders_out FOR TABLE shop.orders, shop.order_lines WITH (publish = 'insert, update');
ALTER LARGE OBJECT 700005 OWNER TO "shop clerk";
ANALYZE;
