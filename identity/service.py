"""The front door of identity: settings in, a service that can be registered, started, probed and stopped."""
