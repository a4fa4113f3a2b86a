"""A small order service: stock is sold, never oversold, and a request that is repeated is one order."""
