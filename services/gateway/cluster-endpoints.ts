import { Type } from 'typebox';
import { decode, json } from '#shared/protocol/encoding.ts';
import { accept } from '#shared/protocol/errors.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, createInbox, serviceInboxPrefix, subscribe } from '#shared/runtime/nats.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

export interface ClusterEndpointsOptions {
  readonly nats: Nats;
  readonly clock: Clock;
}

const ServiceView = Type.Object({
  service: Type.String(),
  process: Type.String(),
  id: Type.String(),
  version: Type.String(),
  startedAt: Type.Optional(Type.String()),
  requests: Type.Optional(
    Type.Integer({
      description:
        'Requests over NATS that this process has answered since it started; a batch is one. Absent where none are counted: what comes over HTTP is in /metrics.',
    }),
  ),
  errors: Type.Optional(Type.Integer({ description: 'How many of them were answered with an error' })),
  meanMs: Type.Optional(
    Type.Number({ description: 'Mean time from the arrival of one of them to its answer, in milliseconds' }),
  ),
});
type ServiceView = Type.Static<typeof ServiceView>;

const ClusterView = Type.Object({
  nats: Type.Object({
    name: Type.String(),
    version: Type.String(),
    cluster: Type.Optional(Type.String()),
    maxPayload: Type.Integer(),
  }),
  services: Type.Array(ServiceView),
});

/** Whoever has not answered within this does not answer. */
const gatherMs = 500;
const processesMax = 1_000;

export const clusterEndpoints = (options: ClusterEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/cluster',
    operationId: 'describeCluster',
    summary: 'The processes of Trivet that answer, and the NATS below them',
    tag: 'gateway',
    access: { operation: 'cluster.describe', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'Who is there.', schema: ClusterView } },
    handle: async () => {
      const { info } = options.nats.connection;
      const services = await gather(options);
      return accept({
        status: 200,
        body: {
          nats: {
            name: info?.server_name ?? '',
            version: info?.version ?? '',
            ...(info?.cluster === undefined ? {} : { cluster: info.cluster }),
            maxPayload: info?.max_payload ?? 0,
          },
          services: services.toSorted((a, b) => (a.process < b.process ? -1 : 1)),
        },
      });
    },
  }),
];

/** Asks every process by the NATS service protocol, and takes what comes within half a second. */
async function gather({ nats, clock }: ClusterEndpointsOptions): Promise<readonly ServiceView[]> {
  const found: ServiceView[] = [];
  const inbox = createInbox(serviceInboxPrefix);
  const subscription = subscribe(nats, inbox, {}, (message) => {
    const view = viewOf(message);
    if (view !== undefined && found.length < processesMax) found.push(view);
  });
  nats.connection.publish('$SRV.STATS', '', { reply: inbox });
  await sleep(clock, gatherMs);
  subscription.unsubscribe();
  return found;
}

/** What is read of an answer of the service protocol. */
const isStats = validator(
  Type.Object({
    name: Type.String({ pattern: '^trivet-' }),
    id: Type.String(),
    version: Type.String(),
    started: Type.Optional(Type.String()),
    metadata: Type.Optional(Type.Object({ process: Type.Optional(Type.String()) })),
    endpoints: Type.Array(
      Type.Object({
        num_requests: Type.Number(),
        num_errors: Type.Number(),
        processing_time: Type.Number(),
      }),
    ),
  }),
);

/** Services of other people answer, too: what is none of ours, or cannot be read, is left out. */
function viewOf(message: Msg): ServiceView | undefined {
  const decoded = decode(message.data, json);
  const stats = decoded.ok ? isStats(decoded.value) : decoded;
  if (!stats.ok) return undefined;
  const { name, id, version, started, metadata, endpoints } = stats.value;
  return {
    service: name,
    process: metadata?.process ?? '',
    id,
    version,
    ...(started === undefined ? {} : { startedAt: started }),
    ...(endpoints.length === 0 ? {} : figuresOf(endpoints)),
  };
}

interface EndpointStats {
  readonly num_requests: number;
  readonly num_errors: number;
  readonly processing_time: number;
}

function figuresOf(endpoints: readonly EndpointStats[]) {
  const sum = (name: keyof EndpointStats): number => endpoints.reduce((total, one) => total + one[name], 0);
  const requests = sum('num_requests');
  return {
    requests,
    errors: sum('num_errors'),
    meanMs: requests === 0 ? 0 : sum('processing_time') / requests / 1e6,
  };
}
