"""What can be set about notify, from `FLOWLOOM_NOTIFY_*`."""
