-- The example's own business: any table of yours.
CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer text NOT NULL,
  quantity integer NOT NULL CHECK (quantity > 0)
);
