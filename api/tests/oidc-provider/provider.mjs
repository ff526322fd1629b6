// An OpenID Connect provider without a browser. Prints its issuer, and ends with its standard input.
//
// Whoever comes to be signed in says as whom by adding `as=NAME` to the address of the interaction: NAME@school.example, verified
// unless the name begins with `unverified-`, which is not part of the address.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "rollcall",
      client_secret: "a-secret-of-the-test",
      redirect_uris: [process.argv[2]],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  features: { devInteractions: { enabled: false } },
  pkce: { methods: ["S256"], required: () => true },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id.replace("unverified-", "")}@school.example`,
      email_verified: !id.startsWith("unverified-"),
      name: `${id} of the provider`,
    }),
  }),
});

const callback = provider.callback();
server.on("request", async (request, response) => {
  const url = new URL(request.url, issuer);
  if (!url.pathname.startsWith("/interaction/")) {
    callback(request, response);
    return;
  }
  const { params } = await provider.interactionDetails(request, response);
  const accountId = url.searchParams.get("as");
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result);
});

process.stdin.on("end", () => process.exit());
process.stdin.resume();
console.log(issuer);
