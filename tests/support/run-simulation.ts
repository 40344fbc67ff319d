import { simulateFlows } from '#tests/services/queue-broker/flow-simulation.ts';
import { simulateQueue } from '#tests/services/queue-broker/queue-simulation.ts';

// `npm run sim -- --seeds N` tries N seeds, `SEED=42 npm run sim` replays one. Ends with 1 at the first that fails.

const usage = 'usage: npm run sim -- [--seeds N] [--from N], or SEED=N npm run sim';

function seedsOf(argv: readonly string[], seed: string | undefined): readonly number[] | undefined {
  if (seed !== undefined && seed !== '') return isWhole(seed) ? [Number(seed)] : undefined;
  const options = new Map<string, number>();
  for (let index = 0; index < argv.length; index += 2) {
    const [name = '', value = ''] = argv.slice(index, index + 2);
    if ((name !== '--seeds' && name !== '--from') || !isWhole(value)) return undefined;
    options.set(name, Number(value));
  }
  const from = options.get('--from') ?? 1;
  return Array.from({ length: options.get('--seeds') ?? 200 }, (_, index) => from + index);
}

const isWhole = (text: string): boolean => /^[0-9]{1,9}$/.test(text);

async function run(seeds: readonly number[]): Promise<boolean> {
  const started = performance.now();
  const sum = { items: 0, records: 0, takeovers: 0, purged: 0, flows: 0, crashes: 0 };
  for (const seed of seeds) {
    try {
      const { items, records, takeovers, purged } = await simulateQueue(seed);
      sum.items += items;
      sum.records += records;
      sum.takeovers += takeovers;
      sum.purged += purged;
      const family = await simulateFlows(seed);
      sum.items += family.items;
      sum.flows += family.flows;
      sum.crashes += family.crashes;
    } catch (error) {
      console.error(error);
      console.error(`seed ${seed} fails; replay it with: SEED=${seed} npm run sim`);
      return false;
    }
  }
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(
    `${seeds.length} seeds hold: ${sum.items} items, ${sum.records} records (${sum.purged} truncated), ` +
      `${sum.takeovers} takeovers, ${sum.flows} flows, ${sum.crashes} crashes in ${seconds} s`,
  );
  return true;
}

const seeds = seedsOf(process.argv.slice(2), process.env['SEED']);
if (seeds === undefined) {
  console.error(usage);
  process.exitCode = 2;
} else {
  process.exitCode = (await run(seeds)) ? 0 : 1;
}
