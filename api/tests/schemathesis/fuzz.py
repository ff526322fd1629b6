"""Attacks a running deployment over its own OpenAPI document, as each kind of caller.

Reads where it is from the command line and the administrator's password from standard input, makes a small school over
HTTP, and lets schemathesis call every operation with data that fits the document and data that does not. Whatever
schemathesis finds is a failure: a 500, a status or a body that the document does not have, data taken that it forbids.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

# How much of the time each kind of caller gets, the least powerful first: the others might be deleted by them.
SHARES = {"nobody": 0.1, "camera": 0.1, "student": 0.1, "teacher": 0.15, "operator": 0.15, "admin": 0.4}
PASSWORD = "Correct-horse-1"
# What a run takes beyond its time at most: to read the document, and to make what it found small.
SECONDS_BESIDES = 120


class Caller:
    """Calls one deployment with JSON."""

    def __init__(self, base, headers=None, password=None):
        self.base = base
        self.headers = headers or {}
        # To sign in with once more.
        self.password = password

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers=dict(self.headers))
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as response:
            return json.load(response)["data"]

    def is_known(self):
        """Whether the credentials are still taken, whatever they are good for."""
        try:
            self.call("GET", "/api/v1/auth/me")
        except urllib.error.HTTPError as refused:
            return refused.code != 401
        return True

    def sign_in(self, email, password):
        token = self.call("POST", "/api/v1/auth/login", {"email": email, "password": password})["token"]
        return Caller(self.base, {"Authorization": f"Bearer {token}"}, password)


def found(base, email, password):
    """Makes a school. Gives its callers by kind, and the ids of what paths may name by collection."""
    nobody = Caller(base)
    admin = nobody.sign_in(email, password)

    def person(role, name):
        email = f"{name}@fuzz.example"
        body = {"email": email, "fullName": name, "role": role, "password": PASSWORD}
        return admin.call("POST", "/api/v1/users", body)["user"]["id"], email

    callers = {"admin": admin, "nobody": nobody}
    people = {}
    for role in ("operator", "teacher", "student"):
        people[role], email = person(role, role)
        callers[role] = nobody.sign_in(email, PASSWORD)
    ids = {"users": [person("teacher", "idle")[0]], "students": [person("student", "spare")[0], people["student"]]}
    ids["classes"] = [
        callers["teacher"].call("POST", "/api/v1/classes", {"name": code, "code": code})["class"]["id"]
        for code in ("FUZZ-1", "FUZZ-2")
    ]
    for student in ids["students"]:
        admin.call("POST", f"/api/v1/classes/{ids['classes'][0]}/students", {"studentId": student})
    ids["cameras"] = [admin.call("POST", "/api/v1/cameras", {"name": name})["camera"]["id"] for name in ("A", "B")]
    key = admin.call("POST", f"/api/v1/cameras/{ids['cameras'][0]}/keys", {})["apiKey"]
    callers["camera"] = Caller(base, {"X-API-Key": key})
    now = datetime.now(timezone.utc)
    ids["sessions"] = [
        callers["teacher"].call(
            "POST",
            "/api/v1/sessions",
            {
                "classId": ids["classes"][0],
                "startTime": (now + timedelta(hours=hour)).isoformat(),
                "endTime": (now + timedelta(hours=hour, minutes=45)).isoformat(),
            },
        )["session"]["id"]
        for hour in (0, 1)
    ]
    return callers, ids


def settings(ids):
    """The configuration: what real ids there are for the parameters of paths, beside made-up ones."""
    lines = [
        f"hooks = {json.dumps(str(Path(__file__).with_name('hooks.py')))}",
        "continue-on-failure = true",
        "request-timeout = 30",
        # Callers are who they are: nobody stays nobody.
        "[auth]",
        "auto-signup = false",
        "[warnings]",
        "enabled = false",
        # Rules that a schema cannot say: an id must be a teacher's, an end comes after its start.
        "[checks.positive_data_acceptance]",
        'expected-statuses = ["2xx", 400, 401, 403, 404, 409, 410, 413, 415, 422, 423, 429]',
        # A caller without the role learns that before anything is said of the data.
        "[checks.negative_data_rejection]",
        'expected-statuses = [400, 401, 403, 404, 406, 409, 413, 415, 422, 423, 429]',
    ]
    # What was cancelled or archived can still be read, and says so.
    lines += ["[[operations]]", 'include-path-regex = "^/api/v1/(sessions|classes)/"']
    lines += ["checks.use_after_free.enabled = false"]
    # An endless stream is read for a moment.
    lines += ["[[operations]]", 'include-path = "/api/v1/events"', "request-timeout = 1", "max-stream-events = 1"]
    for name, known in ids.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(known)}"]
    segments = {"class": "classes", "session": "sessions", "student": "students"}
    for segment in [*ids, *segments]:
        binding = f'{{ dictionary = "{segments.get(segment, segment)}", probability = 0.7 }}'
        lines += [
            "[[operations]]",
            f'include-path-regex = "/{segment}/\\\\{{"',
            f'parameters = {{ "path.id" = {binding}, "path.classId" = {binding} }}',
        ]
    return "\n".join(lines)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("base")
    options.add_argument("--email", required=True)
    options.add_argument("--seconds", type=int, default=120)
    options.add_argument("--seed", type=int, default=uuid.uuid4().int % 2**32)
    options = options.parse_args()
    callers, ids = found(options.base, options.email, sys.stdin.readline().strip())
    print(f"seed {options.seed}")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(settings(ids))
        for kind, share in SHARES.items():
            print(f"== as {kind}", flush=True)
            command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run"]
            command += [f"{options.base}/openapi.json", "--no-color", "--checks", "all", "--workers", "1"]
            command += ["--seed", str(options.seed), "--max-time", str(max(1, int(options.seconds * share)))]
            for name, value in callers[kind].headers.items():
                command += ["--header", f"{name}: {value}"]
            environment = {**os.environ, "FUZZ_BASE": options.base}
            if callers[kind].password:
                environment["FUZZ_PASSWORD"] = callers[kind].password
            limit = options.seconds * share + SECONDS_BESIDES
            try:
                subprocess.run(command, cwd=folder, env=environment, check=True, timeout=limit)
            except subprocess.CalledProcessError:
                failed.append(kind)
            except subprocess.TimeoutExpired:
                failed.append(f"{kind}, which took longer than {limit:.0f} s")
            if kind != "nobody" and not callers[kind].is_known():
                failed.append(f"{kind}, whose credentials were lost on the way: most of it was refused")
    if failed:
        sys.exit(f"schemathesis found something as {', '.join(failed)}")


if __name__ == "__main__":
    main()
