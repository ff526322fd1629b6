// Verifies what arrived at a webhook: one line of JSON {secret, headers, body} each on standard input. Answers with a line
// each: "good", or why not.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("good");
  } catch (error) {
    console.log(error.message);
  }
}
