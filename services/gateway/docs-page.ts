import fastifySwaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { authorize } from './core/authorization.ts';
import { Refused } from './refused.ts';
import { docsHeaders } from './security-headers.ts';

interface PageRequest {
  readonly method?: string;
  headers?: Record<string, string>;
}

/**
 * Runs in the browser, where its text is put into the page: what changes something by a session needs the token of
 * `/v1/session`. It may use nothing of this file.
 */
async function withCsrfToken(request: PageRequest): Promise<PageRequest> {
  const { method = 'GET', headers = {} } = request;
  if (method === 'GET' || headers['Authorization'] !== undefined) return request;
  const answer = await fetch('/v1/session');
  const { csrfToken } = (await answer.json()) as { readonly csrfToken?: string };
  if (csrfToken !== undefined) request.headers = { ...headers, 'x-csrf-token': csrfToken };
  return request;
}

/**
 * `/docs`: the OpenAPI document as a page. Swagger UI's files come with its npm package and are served from here, under
 * a policy that loads nothing from elsewhere.
 */
export async function registerDocsPage(app: FastifyInstance, isTls: boolean): Promise<void> {
  const headers = docsHeaders(isTls);
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    uiConfig: {
      deepLinking: true,
      docExpansion: 'list',
      tryItOutEnabled: true,
      validatorUrl: null,
      requestInterceptor: withCsrfToken,
    },
    uiHooks: {
      onRequest: (request, reply, done) => {
        reply.headers(headers);
        const { principal } = request;
        const decision =
          principal === undefined ? undefined : authorize(principal, 'gateway.openapi', { kind: 'cluster' });
        if (decision?.allowed === true) done();
        else done(new Refused({ code: 'forbidden', message: decision?.why ?? 'a token is needed' }));
      },
    },
  });
}
