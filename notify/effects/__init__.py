"""The world outside: the bus, identity, mail servers, web services, and the process that renders templates."""
