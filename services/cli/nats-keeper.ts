import { spawn } from 'node:child_process';
import { readdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { systemClock } from '#shared/runtime/clock.ts';
import { exitCodes } from '#shared/runtime/exit-codes.ts';

import { FullDiskWatch } from './full-disk-watch.ts';
import {
  launchArguments,
  launchEnvironment,
  type NatsServerLaunch,
  waitForPorts,
} from './nats-server/launch.ts';

// nats-server knows nothing of the supervisor and would outlive a killed one. This small process starts it, says when
// it serves, and ends it when the supervisor is gone (the IPC channel closes) or says so (SIGTERM).

// Orphaned services drain for a moment, and they need NATS to do so.
const orphanGraceMs = 2_000;
const shutdownMsMax = 10_000;
// Recovery of the streams after an unclean stop reads their last blocks.
const startMsMax = 120_000;

// In a variable, not in an argument: it holds the password, and arguments are shown to every user of the machine.
const { TRIVET_NATS_LAUNCH: given, ...env } = process.env;
if (given === undefined) throw new Error('TRIVET_NATS_LAUNCH is not set');
const launch = JSON.parse(given) as NatsServerLaunch;

for (const name of readdirSync(launch.portsPath))
  if (name.endsWith('.ports')) rmSync(join(launch.portsPath, name));

const server = spawn(launch.binary, launchArguments(launch), {
  env: { ...env, ...launchEnvironment(launch) },
  // Through this process, not inherited: a Go program dies of SIGPIPE when its standard error is gone, and the
  // supervisor's end of it goes with the supervisor.
  stdio: ['ignore', 'pipe', 'pipe'],
});
server.stdout.pipe(process.stdout);
server.stderr.pipe(process.stdout);
process.stdout.on('error', () => {
  server.stdout.resume();
  server.stderr.resume();
});

let serves = false;
let ending = false;
let endCode: number = exitCodes.done;

const fullDisk = new FullDiskWatch({
  clock: systemClock,
  freeBytes: () => {
    const { bavail, bsize } = statfsSync(launch.storePath);
    return bavail * bsize;
  },
  stuck: () => {
    process.stdout.write(
      'nats-server goes on refusing writes of a disk that was full, which has room again: it is ended for a new start\n',
    );
    failLater();
  },
});
// It serves then, and nobody will ever know where: it writes that file once.
const unknownPorts = /Error writing ports file/;
for (const stream of [server.stdout, server.stderr])
  createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
    if (unknownPorts.test(line)) failLater();
    fullDisk.line(line);
  });

server.on('error', (error) => {
  process.stdout.write(`${launch.binary} does not start: ${error.message}\n`);
  process.exit(exitCodes.missingPart);
});
server.on('close', (code, signal) => {
  if (ending) process.exit(endCode);
  // Before it ever served it is its configuration that it does not like: a port that is taken, a folder that it may
  // not write to.
  const refused = !serves && signal === null;
  if (!refused) process.stdout.write(`nats-server ended by itself (${signal ?? `exit code ${code}`})\n`);
  process.exit(refused ? exitCodes.usage : exitCodes.failed);
});

process.on('SIGINT', () => undefined);
process.on('SIGTERM', end);
process.on('disconnect', () => systemClock.after(orphanGraceMs, end));

/** Ends it in an orderly way, and this process as failed, so that the supervisor starts both again. */
function failLater(): void {
  endCode = exitCodes.failed;
  end();
}

function end(): void {
  if (ending) return;
  ending = true;
  if (server.exitCode !== null || server.signalCode !== null) process.exit(endCode);
  server.kill('SIGTERM');
  systemClock.after(shutdownMsMax, () => server.kill('SIGKILL'));
}

const { pid } = server;
if (pid !== undefined) {
  const { port, monitorPort } = await waitForPorts({
    launch,
    pid,
    timeoutMs: startMsMax,
    gone: () => undefined,
  });
  serves = true;
  process.send?.({ type: 'ready', nats: { pid, port, monitorPort } });
}
