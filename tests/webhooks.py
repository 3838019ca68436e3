"""Whether webhooks are signed as Standard Webhooks say, by the package that its authors publish.

Reads one JSON object a line, {"secret": ..., "headers": {...}, "body": ...}, and prints a line for each: "ok", or why not.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook

for line in sys.stdin:
    message = json.loads(line)
    try:
        Webhook(message["secret"]).verify(message["body"], message["headers"])
        print("ok")
    except Exception as error:  # whatever a receiver would stumble over
        print(f"{type(error).__name__}: {error}")
