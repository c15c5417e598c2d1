"""Our own REST door, `/api/v1`: routes and OpenAPI made from the operations' declarations; no rules of its own."""
