"""What the gateway does by the clock: following the processes of the services."""
