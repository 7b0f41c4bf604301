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


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.school.example",
        "ftp://127.0.0.1/",
        "id.school.example",
        "https://",
        "https://[",
        "https://user@id.school.example",
        "https://id.school.example/?realm=x",
        "http://127.0.0.1.evil.example/",
    ],
)
def test_a_provider_is_asked_over_tls_but_on_this_machine(issuer: str) -> None:
    with pytest.raises(ValidationError, match="expected https://HOST/PATH"):
        _with_provider(oidc_issuer=issuer)


def test_a_provider_needs_accounts_and_what_it_knows_us_as_and_its_secret_is_not_shown() -> None:
    for issuer in ("https://id.school.example/realm", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1/"):
        assert "hunter2" not in repr(_with_provider(oidc_issuer=issuer))
    with pytest.raises(ValidationError, match="needs a CLASSPULSE_OIDC_CLIENT_ID") as refused:
        _with_provider(oidc_client_id="")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValidationError, match="is for CLASSPULSE_DASHBOARD_ACCESS=accounts"):
        _with_provider(dashboard_access="open")
    with pytest.raises(ValidationError, match="`openid` among them"):
        _with_provider(oidc_scopes="profile email")


def _with_provider(**changes: str) -> GatewaySettings:
    good = {
        "dashboard_access": "accounts",
        "secret_key": "x" * SECRET_MIN,
        "oidc_issuer": "https://id.school.example",
        "oidc_client_id": "classpulse",
        "oidc_client_secret": "hunter2",
    }
    return GatewaySettings.model_validate({**good, **changes})
