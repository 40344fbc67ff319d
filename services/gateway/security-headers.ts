import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import helmet from 'helmet';

/** What a browser may do with an answer of the API: nothing. It is data. */
const nothing = {
  'default-src': ["'none'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
};

/** What the pages may do: load what this gateway serves, and talk to it. Nothing inline, nothing from elsewhere. */
const ownFiles = {
  ...nothing,
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:'],
  'font-src': ["'self'"],
  'connect-src': ["'self'"],
  'form-action': ["'self'"],
};

export type HeaderValues = Readonly<Record<string, string>>;

/** The headers of every answer of the API. */
export const apiHeaders = (isTls: boolean): HeaderValues => headersOf(nothing, isTls);

/** The headers of the pages that the gateway serves, which replace those of the API. */
export const pageHeaders = (isTls: boolean): HeaderValues => headersOf(ownFiles, isTls);

/** The one element of style that this version of Swagger UI puts into the page. */
const swaggerStyle = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='";

/** Swagger UI also sets attributes of style. Scripts stay those of its files. */
export const docsHeaders = (isTls: boolean): HeaderValues =>
  headersOf(
    { ...ownFiles, 'style-src': ["'self'", swaggerStyle], 'style-src-attr': ["'unsafe-inline'"] },
    isTls,
  );

/**
 * Helmet's headers. They are the same for every answer, so helmet is asked once, with an answer that is never sent, and
 * not for each request.
 */
function headersOf(directives: Readonly<Record<string, string[]>>, isTls: boolean): HeaderValues {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  helmet({
    contentSecurityPolicy: { useDefaults: false, directives },
    strictTransportSecurity: isTls ? { maxAge: 31_536_000, includeSubDomains: false } : false,
    xFrameOptions: { action: 'deny' },
    // For browsers that are long gone.
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    originAgentCluster: false,
  })(request, response, () => undefined);
  return Object.fromEntries(
    Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]),
  );
}
