"""Shows the one-time password of the first start on the console. Not by way of the log, which is kept and shipped."""

from __future__ import annotations

import sys


def show_one_time_password(user_id: str, password: str) -> None:
    """Write it to standard error; it is good for changing it only, so whoever reads it later learns nothing."""
    sys.stderr.write(
        f"\nFlowloom: first start. The administrator is '{user_id}' with the one-time password\n\n    {password}\n\n"
        "It opens nothing but ChangePassword (POST /identity-api/password) and is not shown again.\n\n"
    )
    sys.stderr.flush()
