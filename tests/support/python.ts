import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The NATS client of Python that the interop tests use, at a version that is known to work. */
const natsClient = 'nats-py==2.16.0';

/** The tester of OpenAPI documents that the gateway is held against. */
const schemathesis = 'schemathesis==4.32.5';

/** OTLP as classes that protoc made, by OpenTelemetry. */
const otlp = 'opentelemetry-proto==1.45.2';

const installMsMax = 120_000;

/** Path of a Python that has the NATS client; made at first use. */
export const pythonWithNats = (): Promise<string> => pythonWith(natsClient);

/** Path of a Python that has Schemathesis; made at first use. */
export const pythonWithSchemathesis = (): Promise<string> => pythonWith(schemathesis);

/** Path of a Python that reads OTLP; made at first use. */
export const pythonWithOtlp = (): Promise<string> => pythonWith(otlp);

/** An environment with one package, kept between runs: making it takes seconds and asks the package index. */
async function pythonWith(requirement: string): Promise<string> {
  const environmentPath = join(tmpdir(), `trivet-python-${requirement.replaceAll('=', '-')}`);
  const python = join(environmentPath, 'bin', 'python');
  const complete = join(environmentPath, 'complete');
  try {
    await access(complete);
    return python;
  } catch {
    // Not made yet, or a run was stopped while it was being made.
  }
  await run('python3', ['-m', 'venv', '--clear', environmentPath], { timeout: installMsMax });
  await run(python, ['-m', 'pip', 'install', '--quiet', requirement], { timeout: installMsMax });
  await run(python, ['-c', `open(${JSON.stringify(complete)}, 'w').close()`]);
  return python;
}
