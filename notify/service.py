"""The front door of notify: settings in, a service that can be registered, started, probed and stopped."""
