"""What schemathesis is told beyond its configuration. It loads this by `hooks` there.

The caller's own password is in the environment, to sign in anew with: see fuzz.py.
"""

import os

import requests
import schemathesis

BASE = os.environ["FUZZ_BASE"]
PASSWORD = os.environ.get("FUZZ_PASSWORD")


def without_credentials(request):
    """A call that is to lack its token lacks every other credential, too: with an API key it is somebody's."""
    request.headers.pop("X-API-Key", None)
    return request


def with_throw_away_session(request):
    """Whoever signs out is nobody from then on, so each time it is a session made for it."""
    own = {"Authorization": request.headers.pop("Authorization", "")}
    # Under the address that the account has by now.
    me = requests.get(f"{BASE}/api/v1/auth/me", headers=own, timeout=30)
    if me.ok:
        body = {"email": me.json()["data"]["user"]["email"], "password": PASSWORD}
        signed_in = requests.post(f"{BASE}/api/v1/auth/login", json=body, timeout=30)
        if signed_in.ok:
            request.headers["Authorization"] = f"Bearer {signed_in.json()['data']['token']}"
    return request


def lacks_token(case):
    data = case.meta.phase.data if case.meta else None
    is_missing = getattr(getattr(data, "scenario", None), "name", "") == "MISSING_PARAMETER"
    return is_missing and (data.parameter or "").lower() == "authorization"


@schemathesis.hook
def before_call(context, case, kwargs):
    if lacks_token(case):
        kwargs["auth"] = without_credentials
    elif case.operation.path == "/api/v1/auth/logout" and PASSWORD:
        kwargs["auth"] = with_throw_away_session


@schemathesis.hook
def after_call(context, case, response):
    """What the attack sets there, such as a limit of one call a minute, would be the end of the attack."""
    if case.operation.path == "/api/v1/admin/system-config" and case.method != "GET" and response.status_code == 200:
        headers = {"Authorization": response.request.headers["Authorization"]}
        requests.post(f"{BASE}{case.operation.path}", json={}, headers=headers, timeout=30).raise_for_status()
