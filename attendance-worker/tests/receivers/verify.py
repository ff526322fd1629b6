"""Verifies what arrived at a webhook: one line of JSON {secret, headers, body} each on standard input. Answers with a line
each: "good", or why not."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    arrived = json.loads(line)
    try:
        Webhook(arrived["secret"]).verify(arrived["body"], arrived["headers"])
        print("good")
    except WebhookVerificationError as error:
        print(error)
