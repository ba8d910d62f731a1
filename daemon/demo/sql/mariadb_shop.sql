-- The demo's data in MariaDB: a small shop with every kind of object, in two databases.
SET NAMES utf8mb4;
SET SESSION time_zone = '+00:00';

CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci COMMENT 'The demo''s shop';
USE shop;
CREATE TABLE customers (
  id int NOT NULL PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100) NOT NULL UNIQUE, born date, vip bool NOT NULL,
  profile json
);
INSERT INTO customers
  SELECT seq, CONCAT(ELT(1 + seq % 5, 'Zoë', 'Jürgen', 'Łukasz', '名前', 'O''Neil'), ' ', seq), CONCAT('c', seq, '@example.org'),
    '1950-01-01' + INTERVAL seq DAY, seq % 7 = 0, JSON_OBJECT('visits', seq % 100, 'tags', JSON_ARRAY('a', NULL, seq))
  FROM seq_1_to_2000;
CREATE TABLE orders (
  id bigint NOT NULL PRIMARY KEY, customer int NOT NULL, placed timestamp NOT NULL, total decimal(12, 2) NOT NULL,
  state enum('open', 'paid', 'sent') NOT NULL, note text,
  KEY (placed), CONSTRAINT `orders of customers` FOREIGN KEY (customer) REFERENCES customers (id), CHECK (total >= 0)
);
INSERT INTO orders
  SELECT seq, 1 + seq % 2000, '2026-01-01 00:00:00' + INTERVAL seq MINUTE, seq % 1000 / 7, ELT(1 + seq % 3, 'open', 'paid', 'sent'),
    IF(seq % 10 = 0, CONCAT('note ', seq, '; "quoted", it''s\n'), NULL)
  FROM seq_1_to_10000;
CREATE TABLE pictures (id int NOT NULL PRIMARY KEY, data mediumblob NOT NULL);
CREATE TABLE visits (day date NOT NULL PRIMARY KEY, visitors int NOT NULL) ENGINE = Aria;
INSERT INTO visits SELECT '2026-01-01' + INTERVAL seq DAY, seq * seq % 1000 FROM seq_1_to_300;
CREATE SEQUENCE invoice_numbers START WITH 1000 INCREMENT BY 10;
CREATE VIEW open_orders AS SELECT o.id, c.name, o.total FROM orders o JOIN customers c ON c.id = o.customer
  WHERE o.state = 'open';
DELIMITER //
CREATE FUNCTION with_tax(amount decimal(12, 2)) RETURNS decimal(12, 2) DETERMINISTIC RETURN amount * 1.19//
CREATE PROCEDURE pay(IN wanted bigint) MODIFIES SQL DATA
BEGIN
  -- only what is open
  UPDATE orders SET state = 'paid' WHERE id = wanted AND state = 'open';
END//
CREATE TRIGGER no_future_orders BEFORE INSERT ON orders FOR EACH ROW
  SET NEW.placed = LEAST(NEW.placed, CURRENT_TIMESTAMP)//
CREATE EVENT forget ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM visits WHERE day < '2020-01-01'//
DELIMITER ;

CREATE DATABASE `shop archive`;
CREATE TABLE `shop archive`.`orders 2025` LIKE shop.orders;
INSERT INTO `shop archive`.`orders 2025` SELECT * FROM shop.orders WHERE id <= 500;

CREATE ROLE shop_reader;
GRANT SELECT ON shop.* TO shop_reader;
CREATE USER 'shop_app'@'localhost' IDENTIFIED BY 'only for the demo';
GRANT SELECT, INSERT, UPDATE ON shop.* TO 'shop_app'@'localhost';
GRANT shop_reader TO 'shop_app'@'localhost';
