import fastify from 'fastify';

// A bare Fastify, as its own documentation begins: what HTTP in Node.js costs before anything is done with it.

const app = fastify({ logger: false });
app.get('/', () => ({ status: 'live' }));
app.post('/', (request) => request.body);
process.send?.({ type: 'ready', http: await app.listen({ host: '127.0.0.1', port: 0 }) });
process.once('disconnect', () => process.exit());
