import { readFileSync } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Clock } from '#shared/runtime/clock.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import type { Log } from '#shared/runtime/log.ts';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** How often the files are looked at: whoever renews a certificate does so days before it ends. */
const lookMs = 5_000;

/**
 * The two settings together.
 * @returns undefined where neither is given
 * @throws StartRefused (2) when one is missing, cannot be read, or the two do not belong together
 */
export function certificateFiles(
  certificate: string | undefined,
  key: string | undefined,
): CertificateFiles | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined)
    throw new StartRefused(exitCodes.usage, 'TRIVET_HTTP_TLS_CERT and TRIVET_HTTP_TLS_KEY go together');
  const files = { certificate, key };
  try {
    readCertificate(files);
  } catch (error) {
    throw new StartRefused(exitCodes.usage, `the certificate cannot be used: ${textOf(error)}`);
  }
  return files;
}

/** Reads both files and makes sure that they are a pair. Throws what is wrong with them. */
export function readCertificate(files: CertificateFiles): Certificate {
  const read = { cert: readFileSync(files.certificate), key: readFileSync(files.key) };
  createSecureContext(read);
  return read;
}

/**
 * Serves new connections with new files as soon as they are there. Files that cannot be used, as between the writing of
 * the one and of the other, leave the old ones in place.
 * @returns a function that ends it
 */
export function reloadCertificate(
  server: Server,
  files: CertificateFiles,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): () => void {
  let served = readCertificate(files);
  let complaint = '';
  const look = (): void => {
    try {
      const read = readCertificate(files);
      if (!read.cert.equals(served.cert) || !read.key.equals(served.key)) {
        server.setSecureContext(read);
        served = read;
        log.info({ certificate: files.certificate }, 'the certificate was read again');
      }
      complaint = '';
    } catch (error) {
      // Said once for each fault, not every five seconds.
      if (textOf(error) !== complaint) log.error({ err: error }, 'the new certificate cannot be used');
      complaint = textOf(error);
    }
    cancel = clock.after(lookMs, look);
  };
  let cancel = clock.after(lookMs, look);
  return () => cancel();
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
