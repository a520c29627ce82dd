"""What can be set about forms, from `FLOWLOOM_FORMS_*`."""
