"""Identity's own database: tables, migrations, what transactions read and write, and lists."""
