import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { exitCodes } from '#shared/runtime/exit-codes.ts';

import { entryOfService, services } from './cluster-plan.ts';

// `npm run service -- <name> [--config FILE]`: one service in this process, configured by environment and file.

const usage = `npm run service -- <name> [--config FILE]

  <name>           ${services.join(', ')}
  --config FILE    a JSON file with settings by their names; the environment wins

docs/configuration.md has all settings.
`;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  allowPositionals: true,
  strict: false,
});
const service = services.find((name) => name === positionals[0]);
const config = typeof values['config'] === 'string' ? resolve(values['config']) : undefined;
const faults = [
  ...(service === undefined ? [`name one of ${services.join(', ')}`] : []),
  ...positionals.slice(1).map((extra) => `${JSON.stringify(extra)} is too much`),
  ...Object.keys(values).flatMap((name) => (name === 'config' ? [] : [`--${name} is not a known option`])),
  ...(values['config'] === true ? ['--config needs a file'] : []),
  ...(config !== undefined && !existsSync(config) ? [`${config} does not exist`] : []),
];
if (values['help'] === true) process.stdout.write(usage);
else if (service === undefined || faults.length > 0) {
  process.stderr.write(`${faults.map((fault) => `trivet: ${fault}`).join('\n')}\n`);
  process.stderr.write(`\n${usage}`);
  process.exitCode = exitCodes.usage;
} else {
  // The services read their settings from the environment and from the file that this variable names.
  if (config !== undefined) process.env['TRIVET_CONFIG'] = config;
  await import(pathToFileURL(entryOfService(service)).href);
}
