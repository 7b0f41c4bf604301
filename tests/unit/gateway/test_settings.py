import pytest
from pydantic import ValidationError

from gateway.settings import SECRET_MIN, GatewaySettings


@pytest.mark.parametrize("secret", ["", "hunter2", "hunter2".ljust(SECRET_MIN - 1, "x")])
def test_accounts_need_a_secret_that_is_one_and_it_is_not_shown(secret: str) -> None:
    with pytest.raises(ValidationError, match="CLASSPULSE_SECRET_KEY of 32 characters") as refused:
        GatewaySettings.model_validate({"dashboard_access": "accounts", "secret_key": secret})
    assert "hunter2" not in str(refused.value)


def test_where_nobody_logs_in_there_need_be_none() -> None:
    assert GatewaySettings().secret_key.get_secret_value() == ""
    long = GatewaySettings.model_validate({"dashboard_access": "accounts", "secret_key": "x" * SECRET_MIN})
    assert "x" * SECRET_MIN not in repr(long)


def test_a_spool_is_one_process_s_own() -> None:
    assert GatewaySettings(spool_folder="/var/spool/classpulse").gateway_processes == 1
    with pytest.raises(ValidationError, match="CLASSPULSE_SPOOL_FOLDER is one process's own"):
        GatewaySettings(spool_folder="/var/spool/classpulse", gateway_processes=2)
