"""Objects of the data model: schema, store, accessors, queries, types."""
