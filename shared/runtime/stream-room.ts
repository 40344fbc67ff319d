import { StartRefused, exitCodes } from './exit-codes.ts';
import { JetStreamApiError } from './nats.ts';

/** nats-server's error codes for a stream that may become larger than JetStream may (`errors.json` in its source). */
const noRoom = new Set([10_002, 10_023, 10_047]);

/**
 * Makes a stream, or changes how large it may become.
 * @param stream `setting`: what sets how large
 * @throws StartRefused (3), which names it, where JetStream sets less aside for its streams, or for this account
 */
export async function withRoom<Value>(
  stream: { readonly name: string; readonly bytesMax: number | undefined; readonly setting: string },
  make: () => Promise<Value>,
): Promise<Value> {
  try {
    return await make();
  } catch (error) {
    if (!(error instanceof JetStreamApiError && noRoom.has(error.code))) throw error;
    throw new StartRefused(
      exitCodes.missingPart,
      `JetStream has no room for the stream ${stream.name}, which may have ${stream.bytesMax} bytes ` +
        `(${error.message}): give it more (max_file_store, or the limits of the account), or set a smaller ${stream.setting}`,
    );
  }
}
