"""PostgreSQL: connections and their errors, the tables, and the migrations that build them."""
