//! The worker's side: from a request to the files it asks for, one module a kind.
