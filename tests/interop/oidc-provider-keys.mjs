// oidc-provider, whose clients have keys and no secrets at the introspection endpoint (private_key_jwt). Loopback only.
//   KEYS   the folder into which the private keys go, in a file for each client and encoding
// It runs beside the other launchers, where oidc-provider is installed, and prints "READY <issuer>" when it serves.
//
// Clients: RS256, PS256, ES256, ES384, ES512, EdDSA, each with the key id `<name>-key`, and basic-client (secret
// basic-client-secret), which gets opaque tokens.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import Provider from 'oidc-provider';

const RSA = ['rsa', { modulusLength: 2048 }, ['pkcs8', 'pkcs1']];
const ec = (namedCurve) => ['ec', { namedCurve }, ['pkcs8', 'sec1']];
const KINDS = {
  RS256: RSA, PS256: RSA, ES256: ec('P-256'), ES384: ec('P-384'), ES512: ec('P-521'), EdDSA: ['ed25519', {}, ['pkcs8']],
};

const clients = Object.entries(KINDS).map(([alg, [type, options, encodings]]) => {
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  for (const encoding of encodings) {
    writeFileSync(join(process.env.KEYS, `${alg}.${encoding}`), privateKey.export({ type: encoding, format: 'pem' }));
  }
  writeFileSync(join(process.env.KEYS, `${alg}.jwk`), JSON.stringify(privateKey.export({ format: 'jwk' })));
  return {
    client_id: alg, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: alg,
    grant_types: [], response_types: [], redirect_uris: [],
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: `${alg}-key`, alg, use: 'sig' }] },
  };
});

const server = http.createServer((request, response) => callback(request, response));
let callback;
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [...clients, {
      client_id: 'basic-client', client_secret: 'basic-client-secret',
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'], response_types: [], redirect_uris: [], scope: 'read admin',
    }],
    clientAuthMethods: ['client_secret_basic', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: Object.keys(KINDS) },
    scopes: ['read', 'admin'],
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:api:opaque',
        useGrantedResource: () => true,
        getResourceServerInfo: (_, audience) => ({ scope: 'read admin', audience, accessTokenFormat: 'opaque' }),
      },
    },
  });
  // Why it refuses, for the log of this run.
  provider.on('introspection.error', (_, error) => console.log(error.message, error.error_detail));
  callback = provider.callback();
  console.log(`READY ${issuer}`);
});
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
