-- One of everything that a dump may hold, in databases with names that people really choose.
SET NAMES utf8mb4;

CREATE DATABASE `shop` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE `shop`;
CREATE TABLE customers (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY, name varchar(100) NOT NULL, note text COMMENT 'it''s\na -- note;',
  born date, balance decimal(12, 2) DEFAULT 0.00, flags set('a', 'b'), kind enum('x', 'ü'), j json, bits bit(7),
  token binary(16), lower_name varchar(100) AS (lower(name)) VIRTUAL, UNIQUE KEY (name), FULLTEXT KEY (note)
) COMMENT 'with\n-- Dumping events for database in it';
INSERT INTO customers (name, note, born, balance, flags, kind, j, bits, token) VALUES
  ('Zoë', 'line one\nline two\\ \'quoted\' \0 nul', '1970-01-01', 1234567890.12, 'a,b', 'ü', '{"a": [1, null]}', b'1010101',
   x'00ff27225c0a0d1a00ff27225c0a0d1a'),
  ('O''Neil; DROP TABLE customers; --', '-- Dumping events for database `shop`\n', NULL, -0.01, '', 'x', NULL, b'0', NULL),
  ('名前 🏪', '', '9999-12-31', 0, 'a', NULL, '"x"', NULL, x'00000000000000000000000000000000');
CREATE TABLE orders (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, customer int NOT NULL, placed timestamp NULL,
  total double, CONSTRAINT `orders → customers` FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE,
  KEY (placed)
);
INSERT INTO orders (customer, placed, total) VALUES (1, '2026-11-22 00:05:12', 0.1), (3, NULL, -1e300);
CREATE SEQUENCE `order numbers` START WITH 100 INCREMENT BY 10 CACHE 5;
SELECT nextval(`order numbers`), nextval(`order numbers`);
CREATE TABLE numbered (id int DEFAULT nextval(`order numbers`), what varchar(20));
INSERT INTO numbered (what) VALUES ('first');
CREATE TABLE `old engine` (id int PRIMARY KEY, word varchar(20)) ENGINE = MyISAM;
INSERT INTO `old engine` VALUES (1, 'MyISAM'), (2, 'is read only once');
CREATE TABLE parts (id int, y int) PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1, 5), (2, 50);
CREATE TABLE empty_one (id int);
CREATE FUNCTION tax(amount double) RETURNS double DETERMINISTIC RETURN amount * 0.19;
CREATE VIEW `a view of a later view` AS SELECT id, taxed FROM (SELECT 1 AS id, 2 AS taxed) AS nothing;
CREATE VIEW taxed AS SELECT id, tax(total) AS taxed FROM orders;
CREATE OR REPLACE VIEW `a view of a later view` AS SELECT id, taxed FROM taxed WHERE id > 0;

DELIMITER //
CREATE TRIGGER `customers, before` BEFORE INSERT ON customers FOR EACH ROW
BEGIN
  -- a comment that stays; with a semicolon
  SET NEW.note = concat(coalesce(NEW.note, ''), ' /* not a comment */');
END//
CREATE TRIGGER second BEFORE INSERT ON customers FOR EACH ROW FOLLOWS `customers, before` SET NEW.balance = 1//
CREATE PROCEDURE `place order`(IN who int)
  MODIFIES SQL DATA
BEGIN
  -- Dumping routines for database
  INSERT INTO orders (customer) VALUES (who);
END//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE
  COMMENT 'it''s nightly' DO CALL `place order`(1)//
CREATE EVENT `every second` ON SCHEDULE EVERY 1 SECOND DO DELETE FROM empty_one//
DELIMITER ;

CREATE DATABASE `Grüße, ``Welt``` CHARACTER SET latin1 COLLATE latin1_german1_ci;
USE `Grüße, ``Welt```;
CREATE TABLE `Straße "1".a` (`größe 'x'` varchar(10), `select` int) COLLATE latin1_german2_ci;
INSERT INTO `Straße "1".a` VALUES ('äöü', 1);
CREATE TABLE `straße "1".A` (id int);

CREATE DATABASE `-x --help; $(id)`;
CREATE TABLE `-x --help; $(id)`.`t` (id int);
INSERT INTO `-x --help; $(id)`.`t` VALUES (1), (2), (3);

CREATE DATABASE `Shop`;
CREATE TABLE `Shop`.`Orders.2026` (id int);
CREATE VIEW `Shop`.`across` AS SELECT o.id, t.id AS other FROM shop.orders o JOIN `Shop`.`Orders.2026` t ON t.id = o.id;

CREATE DATABASE `users`;

CREATE DATABASE `large`;
CREATE TABLE `large`.`random` (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, data longblob);

CREATE USER 'app'@'10.%' IDENTIFIED BY 'app''s own; password';
GRANT SELECT, INSERT ON shop.* TO 'app'@'10.%';
GRANT UPDATE (name), SELECT ON shop.customers TO 'app'@'10.%';
CREATE USER 'o''neil `x`'@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('second') REQUIRE SSL WITH MAX_USER_CONNECTIONS 5;
GRANT ALL PRIVILEGES ON `Grüße, ``Welt```.* TO 'o''neil `x`'@'%' WITH GRANT OPTION;
CREATE USER 'locked'@'localhost' ACCOUNT LOCK PASSWORD EXPIRE NEVER;
CREATE ROLE reader;
GRANT SELECT ON shop.* TO reader;
GRANT reader TO 'app'@'10.%' WITH ADMIN OPTION;
SET DEFAULT ROLE reader FOR 'app'@'10.%';
CREATE ROLE writer WITH ADMIN 'o''neil `x`'@'%';
GRANT reader TO writer;
GRANT EXECUTE ON PROCEDURE shop.`place order` TO writer;
