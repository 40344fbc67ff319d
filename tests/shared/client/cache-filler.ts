import { connect } from '#shared/client/client.ts';

// A process of the test of `getOrSet`: asks for keys, many times each, at a sign from its parent, and says how often
// its own fill ran and what came back. Its arguments: the URL of NATS, how many callers.

const [url = '', callersText = '1'] = process.argv.slice(2);
const trivet = await connect({ url, name: 'filler' });
const callers = Number(callersText);
const cache = trivet.cache<string>('filled');

process.on('message', (key: string) => void askFor(key));
process.once('disconnect', () => void trivet.close().finally(() => process.exit()));
process.send?.('ready');

async function askFor(key: string): Promise<void> {
  let fills = 0;
  const fill = async (): Promise<string> => {
    fills += 1;
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (key.startsWith('failing')) throw new Error('the source is down');
    return `of ${process.pid}`;
  };
  // Not all of them through one lookup: every caller has a namespace object of its own.
  const asked = Array.from({ length: callers }, (_, index) => {
    const own = index % 10 === 0 ? trivet.cache<string>('filled') : cache;
    return own.getOrSet(key, fill, { ttl: '1m', negativeTtl: '1m' });
  });
  const outcomes = await Promise.allSettled(asked);
  const values = outcomes.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason)));
  process.send?.({ fills, values: [...new Set(values)], count: values.length });
}
