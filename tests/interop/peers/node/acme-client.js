// Enrols, renews and revokes with acme-client, as programs in Node.js do.
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import acme from "acme-client";

const { ACME_DIRECTORY, ACME_ROOT, ACME_NAME, ACME_LISTEN, ACME_EAB_KID, ACME_EAB_KEY } = process.env;
const deeds = process.argv.slice(2);
const answers = new Map();

acme.axios.defaults.httpsAgent = new https.Agent({ ca: fs.readFileSync(ACME_ROOT) });
const binding = ACME_EAB_KID && { kid: ACME_EAB_KID, hmacKey: ACME_EAB_KEY };
const client = new acme.Client({
  directoryUrl: ACME_DIRECTORY,
  accountKey: await acme.crypto.createPrivateEcdsaKey(),
  ...(binding && { externalAccountBinding: binding }),
});

async function obtain(file) {
  const [, csr] = await acme.crypto.createCsr({ altNames: [ACME_NAME] }, await acme.crypto.createPrivateEcdsaKey());
  const chain = await client.auto({
    csr,
    termsOfServiceAgreed: true,
    skipChallengeVerification: true,
    challengePriority: ["http-01"],
    challengeCreateFn: async (authz, challenge, keyAuthorization) => answers.set(challenge.token, keyAuthorization),
    challengeRemoveFn: async (authz, challenge) => answers.delete(challenge.token),
  });
  fs.writeFileSync(file, chain);
  return chain;
}

const server = http.createServer((request, response) => {
  const answer = answers.get(request.url.replace("/.well-known/acme-challenge/", ""));
  response.statusCode = answer ? 200 : 404;
  response.end(answer);
});
const [host, port] = ACME_LISTEN.split(":");
await new Promise((resolve) => server.listen(Number(port), host, resolve));
try {
  await obtain("first.pem");
  const second = await obtain("second.pem");
  if (deeds.includes("revoke")) {
    await client.revokeCertificate(second, { reason: 4 });
  }
} finally {
  server.closeAllConnections();
  server.close();
}
