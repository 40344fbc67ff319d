import { decode, encodeAuthorizationResponse, encodeUser } from '@nats-io/jwt';
import { createAccount, createCurve, fromCurveSeed, fromPublic, fromSeed } from '@nats-io/nkeys';
import { type Msg, type Nats, subscribe } from './nats.ts';

/**
 * NATS's auth callout (ADR-26): for every connection that is not one of the services', nats-server asks here who it is
 * and what it may do. Encrypted both ways, signed by the issuer whose public key is in the server's configuration.
 */

/** Who wants to connect. */
export interface CalloutRequest {
  /** What was shown: a token, or the password that it was put in the place of. */
  readonly credential: string | undefined;
  readonly host: string;
  /** The server's number for the connection. */
  readonly client: number;
  readonly clientName: string;
  readonly server: string;
}

export type CalloutAnswer =
  | { readonly refused: string }
  | {
      /** Shown by the server as the connection's user. */
      readonly user: string;
      readonly account: string;
      readonly publish: readonly string[];
      readonly subscribe: readonly string[];
      /** The server ends the connection then; epoch milliseconds. */
      readonly untilMs?: number | undefined;
    };

export interface CalloutKeys {
  /** Seed of the account key that signs (`SA…`). */
  readonly issuerSeed: string;
  /** Seed of the curve key that encrypts (`SX…`). */
  readonly xkeySeed: string;
}

const subject = '$SYS.REQ.USER.AUTH';
const group = 'trivet-callout';

interface RequestClaims {
  readonly user_nkey: string;
  readonly server_id: { readonly id: string };
  readonly client_info: { readonly host?: string; readonly id?: number };
  readonly connect_opts: {
    readonly auth_token?: string;
    readonly pass?: string;
    readonly name?: string;
  };
}

/**
 * Answers the server's questions until the returned function is called; several processes may, each question goes to
 * one of them. A question that cannot be read is not answered: the server refuses after its time-out.
 */
export function answerCallouts(
  nats: Nats,
  keys: CalloutKeys,
  decide: (request: CalloutRequest) => Promise<CalloutAnswer>,
): () => void {
  const issuer = fromSeed(Buffer.from(keys.issuerSeed));
  const xkey = fromCurveSeed(Buffer.from(keys.xkeySeed));

  const answer = async (message: Msg): Promise<void> => {
    const serverKey = message.headers?.get('Nats-Server-Xkey') ?? '';
    // Unencrypted questions hold other people's credentials in the clear, and are not the server's that we know.
    if (serverKey === '') throw new Error('a question of auth callout came unencrypted');
    const opened = xkey.open(message.data, serverKey);
    if (opened === null) throw new Error('a question of auth callout cannot be decrypted');
    const { nats: claims } = decode<RequestClaims>(Buffer.from(opened).toString());
    const { user_nkey: user, server_id: server, client_info: client, connect_opts: options } = claims;
    if (user === undefined || server === undefined)
      throw new Error('a question of auth callout names nobody');
    const decided = await decide({
      credential: options?.auth_token ?? options?.pass,
      host: client?.host ?? 'unknown',
      client: client?.id ?? 0,
      clientName: options?.name ?? '',
      server: server.id,
    });
    const claimed =
      'refused' in decided ? { error: decided.refused } : { jwt: await userJwt(user, issuer, decided) };
    const response = await encodeAuthorizationResponse(
      fromPublic(user),
      fromPublic(server.id),
      issuer,
      claimed,
      {
        aud: server.id,
      },
    );
    message.respond(xkey.seal(Buffer.from(response), serverKey));
  };

  const subscription = subscribe(nats, subject, { queue: group }, (message) => {
    answer(message).catch((error: unknown) => {
      nats.log?.error({ err: error }, 'a question of auth callout was not answered');
    });
  });
  return () => subscription.unsubscribe();
}

function userJwt(
  user: string,
  issuer: ReturnType<typeof fromSeed>,
  {
    user: name,
    account,
    publish,
    subscribe: subscriptions,
    untilMs,
  }: Exclude<CalloutAnswer, { refused: string }>,
): Promise<string> {
  return encodeUser(
    name,
    fromPublic(user),
    issuer,
    { pub: { allow: [...publish] }, sub: { allow: [...subscriptions] } },
    { aud: account, ...(untilMs === undefined ? {} : { exp: Math.ceil(untilMs / 1_000) }) },
  );
}

/** New keys, and their public halves for the server's configuration. */
export const newCalloutKeys = (): CalloutKeys => ({
  issuerSeed: Buffer.from(createAccount().getSeed()).toString(),
  xkeySeed: Buffer.from(createCurve().getSeed()).toString(),
});

/** What nats-server must know of the keys. Throws when a seed is none. */
export const publicCalloutKeys = ({ issuerSeed, xkeySeed }: CalloutKeys) => ({
  issuer: fromSeed(Buffer.from(issuerSeed)).getPublicKey(),
  xkey: fromCurveSeed(Buffer.from(xkeySeed)).getPublicKey(),
});
