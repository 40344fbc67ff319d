import type { Command } from 'commander';
import { apiKeyPrincipalId, privateInbox } from '#shared/protocol/credentials.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { type AskGateway, gatewayOf } from './gateway-session.ts';
import { given, print } from './session.ts';

// What only one of the commands needs is loaded by that one: every command would wait for it.

/** `trivet token create | list | revoke | rotate`. */
export function tokenCommands(program: Command): void {
  const token = program.command('token').description('API keys: who may do what');
  calloutKeysCommand(token);
  token
    .command('create')
    .description('create an API key; it is shown once')
    .argument('<name>', 'whom it stands for: what the audit and the owner of items say')
    .requiredOption(
      '--grant <grant...>',
      'role[:queues=a,b*][:namespaces=c][:cluster][:own], such as producer:queues=emails',
    )
    .option('--expires <duration>', 'such as 90d; without it the key does not expire')
    .addHelpText('after', grantsHelp)
    .action(async (name: string, options: { grant: string[]; expires?: string }, command: Command) => {
      const ask = await gatewayOf(command);
      const { parseGrant } = await import('./grant-text.ts');
      const body = given({ name, grants: options.grant.map(parseGrant), expires: options.expires });
      printKey(await ask('POST', '/v1/tokens', body));
    });
  token
    .command('list')
    .description('all keys, without their secrets')
    .action(async (_: unknown, command: Command) =>
      print(await (await gatewayOf(command))('GET', '/v1/tokens')),
    );
  token
    .command('revoke')
    .description('end a key at once, and its NATS connections; or all JWTs of a subject')
    .argument('[id]')
    .option('--subject <name>', 'instead: JWTs of this subject that were issued until now')
    .action(async (id: string | undefined, { subject }: { subject?: string }, command: Command) => {
      if ((id === undefined) === (subject === undefined))
        throw new TrivetError(refuseField('id', 'or --subject must be given').error);
      const ask = await gatewayOf(command);
      if (subject !== undefined) print(await ask('POST', '/v1/tokens/revoke-subject', { subject }));
      else print(await askOfKey(ask, `${encodeURIComponent(id ?? '')}/revoke`));
    });
  token
    .command('rotate')
    .description('replace a key by a new one with the same name and grants')
    .argument('<id>')
    .option('--overlap <duration>', 'how long the old one stays valid, too (default: not at all)')
    .option('--expires <duration>', 'of the new one')
    .action(async (id: string, options: { overlap?: string; expires?: string }, command: Command) => {
      const ask = await gatewayOf(command);
      const { overlap, expires } = options;
      printKey(await askOfKey(ask, `${encodeURIComponent(id)}/rotate`, given({ overlap, expires })));
    });
}

/** A new key on stdout; on stderr, for people, what NATS wants beside it: a key alone hears no answer. */
function printKey(made: unknown): void {
  print(made);
  const inbox = privateInbox(apiKeyPrincipalId((made as { readonly id: string }).id));
  console.error(`with a plain NATS client: nats --token KEY --inbox-prefix ${inbox} …`);
}

/** The gateway names what is in its path, which is the argument here. */
async function askOfKey(ask: AskGateway, path: string, body?: unknown): Promise<unknown> {
  return ask('POST', `/v1/tokens/${path}`, body).catch((error: unknown) => {
    if (!(error instanceof TrivetError)) throw error;
    const problem = /^invalid_request: token_id (.*)$/s.exec(error.message)?.[1];
    throw problem === undefined ? error : new TrivetError(refuseField('id', problem).error, { cause: error });
  });
}

export const grantsHelp = `
A grant is a role, and where it holds:
  producer                      everywhere
  producer:queues=emails,sms*   on the queue emails and, over HTTP alone, on those that begin with sms
  viewer:namespaces=shop        on the cache namespace shop
  viewer:queues=emails:cluster  on one queue, and on what is the whole cluster's (figures of all, telemetry, /metrics)
  operator:own                  on items that it has enqueued itself, and on its own cache namespaces; over HTTP alone

Beginnings of names and own hold over HTTP alone: NATS cannot tell them, and this command (but for token and audit),
the client library and plain NATS clients are forbidden there what nothing else grants.

Roles:
  producer  enqueues, uses caches, records telemetry
  worker    dequeues, completes, fails, extends, releases, logs, hears live events, uses caches, records telemetry
  viewer    sees everything, changes nothing
  operator  all of these, and pauses, purges, configures, cancels, replays, edits, clears
  admin     all of these, and tokens and the audit

Examples:
  trivet token create mailer --grant producer:queues=emails --expires 90d
  trivet token create shop --grant worker:queues=orders producer:queues=emails:namespaces=shop
  trivet token create site --grant 'producer:namespaces=shop*'    (quoted for the shell; over HTTP alone)
`;

function calloutKeysCommand(token: Command): void {
  token
    .command('callout-keys')
    .description('make the keys of the auth callout: seeds for its processes, public keys for nats-server')
    .action(async () => {
      const { newCalloutKeys, publicCalloutKeys } = await import('#shared/runtime/auth-callout.ts');
      const keys = newCalloutKeys();
      const { issuer, xkey } = publicCalloutKeys(keys);
      print({
        TRIVET_CALLOUT_ISSUER: keys.issuerSeed,
        TRIVET_CALLOUT_XKEY: keys.xkeySeed,
        TRIVET_NATS_ISSUER: issuer,
        TRIVET_NATS_XKEY: xkey,
      });
    });
}
