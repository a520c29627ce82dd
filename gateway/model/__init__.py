"""The values of the edge: the contract as routes need it, and the snapshot that Envoy's configuration is made from."""
