//! The JSON Schema of the routing configuration.
