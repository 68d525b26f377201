//! The JSON Schema against the parser: every file that the parser takes, the schema takes too.
