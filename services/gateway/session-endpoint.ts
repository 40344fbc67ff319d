import { accept, refuse } from '#shared/protocol/errors.ts';
import { Session } from '#shared/protocol/identity-schemas.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

/** Who one is, and what a page needs to change something with a cookie. */
export const sessionEndpoint = (): Endpoint =>
  endpoint({
    method: 'GET',
    url: '/v1/session',
    operationId: 'getSession',
    summary: 'Who one is and what one may do',
    tag: 'gateway',
    access: { operation: 'session.describe', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'The principal of this request.', schema: Session } },
    handle: ({ principal, csrfToken }) => {
      if (principal === undefined) return Promise.resolve(refuse('unauthorized', 'a token is needed'));
      const { name, id, grants, ownNamespace } = principal;
      const token = csrfToken();
      const via = token === undefined ? { via: 'bearer' } : { via: 'cookie', csrfToken: token };
      return Promise.resolve(accept({ status: 200, body: { name, id, grants, ownNamespace, ...via } }));
    },
  });
