"""The front door of forms: settings in, a service that can be registered, started, probed and stopped."""
