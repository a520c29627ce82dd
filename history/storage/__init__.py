"""History's own database: tables, migrations, recording and queries."""
